"""Small pools with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pymatgen.core import Element, Lattice, Structure

from matgen.data.structures import write_structures

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Ti", "Zr", "Hf", "Nb", "Ta", "V")


def perovskites(path):
    """225 cubic ABO3 whose ``value`` is lowest where A is electropositive and B is near tantalum."""
    rows, structures = [], []
    sites = [[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    for a in CATIONS:
        for b in CATIONS:
            value = Element(a).X + abs(Element(b).mendeleev_no - Element("Ta").mendeleev_no) / 20
            rows.append({"id": f"{a}-{b}", "value": value, "other": Element(a).X - Element(b).X})
            structures.append(Structure(Lattice.cubic(4.0), [a, b, "O", "O", "O"], sites))
    table = pd.DataFrame(rows)
    write_structures(path, table, structures)
    return table.sort_values("value").reset_index(drop=True)


def measure(items):
    """Volume and count of packed structures; lithium cannot be evaluated."""
    rows = []
    for item in items:
        if 3 in item["numbers"]:
            raise ValueError("lithium is not allowed here")
        rows.append({"volume": abs(np.linalg.det(np.reshape(item["cell"], (3, 3)))), "heaviest": max(item["numbers"])})
    return rows
