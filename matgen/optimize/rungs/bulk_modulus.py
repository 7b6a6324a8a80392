"""Bulk modulus from an equation of state.

Shapes: V volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.data.structures import STRUCTURE_COLUMNS, pack, unpack
from matgen.errors import DataError
from matgen.optimize.rungs.base import RUNGS, Rung
from matgen.stability.batched import batch_of
from matgen.stability.potential import load_potential

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row
    from matgen.optimize.aims import Aim, Limit

STRAINS = (0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06)
"""Volumes at which the energy is taken, relative to that of the structure."""

GPA = 160.21766208
"""GPa in 1 eV/Å³."""


@RUNGS.register("bulk_modulus")
@dataclass
class BulkModulus(Rung):
    """Adds ``bulk_modulus`` (GPa) by a fit to energies of the scaled structure.

    The fit is Birch and Murnaghan's of third order (Birch, Phys. Rev. 71, 809, 1947). Atoms keep their fractional
    positions and the cell its shape, so the value is an upper bound to that of the potential where they could relax.

    Args:
        potential: Name of the potential.
    """

    name: ClassVar[str] = "bulk_modulus"

    potential: str = "chgnet"

    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Candidates with their bulk moduli."""
        packed = pack(candidates.structures)
        items = [dict(zip(packed, values, strict=True)) for values in zip(*packed.values(), strict=True)]
        work = partial(moduli, potential=self.potential)
        rows = executor.map(work, items, name="bulk modulus", shard=4, seconds=300)
        values = [row.get("bulk_modulus", np.nan) for row in rows]
        reasons = [row.get("error") for row in rows]
        return candidates.with_columns({"bulk_modulus": values}).reject("bulk_modulus", reasons)


def moduli(items: Sequence[Row], potential: str) -> list[Row]:
    """Worker: the bulk modulus (GPa) of each packed structure, or the reason why there is none."""
    model = load_potential(potential)
    rows: list[Row] = []
    for structure in unpack({name: [item[name] for item in items] for name in STRUCTURE_COLUMNS}):
        parts = [_scaled(structure, strain) for strain in STRAINS]
        energies = np.array(model.evaluate(batch_of(parts), forces=False).energy, dtype=float)
        try:
            rows.append({"bulk_modulus": fitted_modulus(structure.volume * np.array(STRAINS), energies)})
        except DataError as error:
            rows.append({"error": error.what})
    return rows


def fitted_modulus(volumes: np.ndarray, energies: np.ndarray) -> float:
    """Bulk modulus in GPa at the minimum of a third-order Birch-Murnaghan curve.

    E is a cubic in x = V^(-2/3), so the fit is linear; B = V d²E/dV² at the minimum.

    Args:
        volumes: (V,) Å³.
        energies: (V,) eV.

    Raises:
        DataError: The curve has no minimum within the volumes.
    """
    curve = np.polynomial.Polynomial.fit(volumes ** (-2 / 3), energies, 3)
    slope, bend = curve.deriv(), curve.deriv(2)
    low, high = (volumes.max() * 1.02) ** (-2 / 3), (volumes.min() * 0.98) ** (-2 / 3)
    roots = [float(x.real) for x in slope.roots() if abs(x.imag) < 1e-12]
    minima = [x for x in roots if low <= x <= high and bend(x) > 0]
    if not minima:
        raise DataError("the energy has no minimum near the volume of the structure.")
    x = minima[0]
    # dx/dV = -2/3 V^(-5/3); at the minimum the first derivative drops out.
    volume = x**-1.5
    return float(volume * bend(x) * (2 / 3 * volume ** (-5 / 3)) ** 2 * GPA)


def _scaled(structure: Structure, strain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cell = structure.lattice.matrix * strain ** (1 / 3)
    return np.array(structure.atomic_numbers), structure.frac_coords, cell
