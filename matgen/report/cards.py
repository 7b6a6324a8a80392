"""One card for each top candidate: drawing, numbers with uncertainties, neighbours, reasons, CIF."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup, escape
from rdkit import Chem

from matgen.data.molecules import smiles_of, to_rdkit, with_geometry
from matgen.data.structures import STRUCTURE_COLUMNS, formula_of, is_molecule
from matgen.report.charts import is_first_front
from matgen.report.crystal import DrawnCell, conventional, draw_cell, draw_molecule, element_style
from matgen.report.fields import (
    FIELDS,
    Field,
    field_of,
    fixed,
    flag,
    formula,
    is_missing,
    number,
    predicted,
    space_group,
    texts,
    written,
)
from matgen.report.formula_drawing import drawn_formula
from matgen.report.poster import poster
from matgen.surrogates.fragment_attribution import atom_weights, predicted_contributions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core import Structure

    from matgen.report.records import Records

ELSEWHERE = {"rank", "formula", "id", "space_group", "n_atoms", "nearest_known", "generator", "relax_status"}
"""Columns that the card shows outside its list of numbers."""
GROUPS = 4
"""Groups whose contribution is written out."""
LINES = {"nearest_known": "Nearest known", "competing_phases": "Competing phases"}


@dataclass(frozen=True)
class Fact:
    """A number with its unit, and a sentence that explains it."""

    label: str
    value: Markup
    unit: str
    help: str


@dataclass(frozen=True)
class Badge:
    """A short mark: good, bad or plain."""

    text: str
    kind: str


@dataclass(frozen=True)
class GroupMap:
    """A structural formula whose groups are coloured by what they do to a prediction, and the same in words."""

    label: str
    drawing: Markup
    words: list[str]


@dataclass(frozen=True)
class Card:
    """What the page shows of one candidate."""

    anchor: str
    place: str
    name: Markup
    n_atoms: int
    space_group: Markup
    row: Mapping[str, Any]
    badges: list[Badge]
    facts: list[Fact]
    lines: list[tuple[str, Markup]]
    reasons: list[str]
    others: list[tuple[str, str]]
    elements: list[tuple[str, str]]
    lattice: str
    cells: dict[str, DrawnCell]
    drawing: Markup
    cif_name: str
    cif: str
    formula_drawing: Markup
    maps: list[GroupMap]

    def payload(self) -> dict[str, Any]:
        """The cells for the 3-D view."""
        return {name: cell.payload() for name, cell in self.cells.items()}


def cards(records: Records, top: int) -> list[Card]:
    """Cards of the first ``top`` candidates."""
    rows = records.table.head(top).to_dict("records")
    columns = [str(c) for c in records.table.columns]
    quantities = _quantities(columns, predicted(records.table))
    return [
        _card(place, {str(k): v for k, v in row.items()}, structure, quantities)
        for place, (row, structure) in enumerate(zip(rows, records.candidates.structures, strict=False), start=1)
    ]


def _card(place: int, row: dict[str, Any], structure: Structure, quantities: list[Field]) -> Card:
    molecular = is_molecule(structure)
    cells = {"Conformer": draw_molecule(structure)} if molecular else _cells(structure)
    name = str(row.get("formula") or formula_of(structure))
    geometry = [] if molecular else _geometry(structure)
    file = f"{_file_name(name)}-{_file_name(str(row['id']))}"
    return Card(
        anchor=f"candidate-{place}",
        place=f"{number(row.get('rank')) or place:.0f}",
        name=formula(name),
        n_atoms=len(structure),
        space_group=space_group(row.get("space_group")),
        row=row,
        badges=_badges(row),
        facts=[Fact(f.label, written(f, row), f.unit, f.help) for f in quantities] + geometry,
        lines=[
            (label, formula(_sentence("; ".join(found)))) for c, label in LINES.items() if (found := texts(row.get(c)))
        ],
        reasons=[_sentence(text).removesuffix(".") for text in texts(row.get("reasons"))],
        others=_others(row, quantities),
        elements=[(s, element_style(s)["color"]) for s in dict.fromkeys(sp.symbol for sp in structure.species)],
        lattice=smiles_of(structure) if molecular else _lattice(structure),
        cells=cells,
        drawing=poster(next(iter(cells.values())), f"{'Conformer' if molecular else 'Crystal structure'} of {name}"),
        cif_name=f"{file}.mol" if molecular else f"{file}.cif",
        cif=_file(structure),
        formula_drawing=drawn_formula(structure, f"Structural formula of {name}") if molecular else Markup(""),
        maps=_maps(row, structure, name) if molecular else [],
    )


def _maps(row: Mapping[str, Any], structure: Structure, name: str) -> list[GroupMap]:
    """One map for each property that a shipped surrogate of molecules predicted."""
    atoms = to_rdkit(structure).GetNumAtoms()
    found = []
    for prop, groups in predicted_contributions(row, structure).items():
        field = field_of(prop)
        label = f"Groups of {name} that raise (blue) or lower (orange) the predicted {field.label.lower()}"
        drawing = drawn_formula(structure, label, atom_weights(groups, atoms).tolist())
        words = [f"{g.smiles} {fixed(g.contribution, field.digits)} {field.unit}".strip() for g in groups[:GROUPS]]
        found.append(GroupMap(field.label, drawing, words))
    return found


def _file(structure: Structure) -> str:
    """A crystal as CIF, a molecule as a connection table with its conformer, as the address of a download."""
    if is_molecule(structure):
        return "data:chemical/x-mdl-molfile;charset=utf-8," + quote(Chem.MolToMolBlock(with_geometry(structure)))
    return "data:chemical/x-cif;charset=utf-8," + quote(str(structure.to(fmt="cif")))


def _cells(structure: Structure) -> dict[str, DrawnCell]:
    """The cells on offer, the one to show first in front."""
    standard = conventional(structure)
    cells = {} if standard is None else {"Conventional": draw_cell(standard)}
    return {**cells, "As recorded": draw_cell(structure)}


def _quantities(columns: list[str], properties: list[str]) -> list[Field]:
    """Numbers worth a line: the usual ones in their order, then every other predicted property."""
    usual = [f for f in FIELDS if f.name in columns and f.kind in {"number", "whole"} and f.name not in ELSEWHERE]
    return usual + [field_of(name) for name in properties if name not in {f.name for f in usual}]


def _geometry(structure: Structure) -> list[Fact]:
    volume = structure.volume / len(structure)
    return [
        Fact("Density", escape(f"{structure.density:.2f}"), "g/cm³", "Mass over volume of the cell."),
        Fact("Volume", escape(f"{volume:.2f}"), "Å³/atom", "Volume of the cell over its atoms."),
    ]


def _lattice(structure: Structure) -> str:
    lengths = " ".join(f"{length:.3f}" for length in structure.lattice.abc)
    angles = " ".join(f"{angle:.1f}" for angle in structure.lattice.angles)
    return f"a b c {lengths} Å, α β γ {angles}°"


def _badges(row: Mapping[str, Any]) -> list[Badge]:
    badges = [Badge("Pareto front", "good")] if is_first_front(row) else []
    words = {"novel": ("new", "known"), "unique": ("unique", "duplicate"), "valid": ("valid", "invalid")}
    words["in_domain"] = ("in domain", "out of domain")
    for name, (yes, no) in words.items():
        answer = flag(row.get(name))
        if answer is not None:
            badges.append(Badge(yes if answer else no, "plain" if answer else "bad"))
    if flag(row.get("thin_system")):
        badges.append(Badge("thin hull", "bad"))
    return badges


def _others(row: Mapping[str, Any], quantities: list[Field]) -> list[tuple[str, str]]:
    """Every other plain column, so that nothing of the records is hidden."""
    shown = {"formula", "rank", "reasons", "thin_system", *LINES, *STRUCTURE_COLUMNS, *(f.name for f in quantities)}
    shown |= {f"{f.name}_std" for f in quantities}
    return [(k, _plain(v)) for k, v in row.items() if k not in shown and not is_missing(v)]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(value: Any) -> str:
    whole = number(value) if isinstance(value, float) else None
    return str(value) if whole is None else f"{whole:.6g}"


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:60]
