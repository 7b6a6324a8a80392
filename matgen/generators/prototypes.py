"""Structure types that come with matgen: pymatgen's AFLOW prototypes, and more ternary and quaternary types."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pymatgen.core import Lattice, Structure

from matgen.generators.templates import TemplateLibrary

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES = Path(__file__).with_name("structure_types.json")

ROUNDING = 0.02
"""Å; images of a site that rounded coordinates put this close together are one atom."""


@cache
def prototype_library() -> TemplateLibrary:
    """All structure types as templates in primitive cells.

    The AFLOW library of crystallographic prototypes (Mehl et al., Comput. Mater. Sci. 136, S1, 2017) as pymatgen
    carries it, without its disordered entries, and the types in ``structure_types.json``.
    """
    named = [*_aflow(), *_structure_types()]
    return TemplateLibrary.from_structures([s for _, s in named], names=[name for name, _ in named])


def _aflow() -> Iterator[tuple[str, Structure]]:
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    for entry in AFLOW_PROTOTYPE_LIBRARY:
        tags = entry["tags"]
        yield str(tags["mineral"] or tags["aflow"]), entry["snl"].structure


def _structure_types() -> Iterator[tuple[str, Structure]]:
    for kind in json.loads(TYPES.read_text(encoding="utf-8"))["types"]:
        symbols, coordinates = zip(*((site[0], site[1:]) for site in kind["sites"]), strict=True)
        lattice = Lattice.from_parameters(*kind["cell"])
        crystal = Structure.from_spacegroup(kind["space_group"], lattice, symbols, coordinates, tol=ROUNDING)
        yield kind["name"], crystal.get_primitive_structure()
