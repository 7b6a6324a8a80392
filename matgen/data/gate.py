"""The quality gate's first half: each row alone, in worker processes. A row is kept, repaired or refused with a reason.

The second half, which looks at columns and at rows side by side, is in ``labels``, ``duplicates`` and ``ingest``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matgen.data.cif import same_shares
from matgen.data.molecule_gate import MOLECULE_FORMATS, MoleculeRules, judge_molecule
from matgen.data.plausibility import (
    Limits,
    average_minimum_distances,
    check_cell,
    check_distances,
    density,
    neighbours,
)
from matgen.data.reading import Reading, read_content, read_formula, settled
from matgen.data.structures import pack
from matgen.data.symmetry import REFINED_SYMPREC, space_group_number
from matgen.errors import DataError
from matgen.execution import time_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Composition, Structure

    from matgen.execution import Row

GATE_VERSION = 1
"""Raised when the gate judges differently, so that data sets in caches are made again."""

NEIGHBOURS = 12
"""Length of the fingerprint of average minimum distances."""


def judge(items: Sequence[Row], limits: Limits, seconds: float, molecules: MoleculeRules | None = None) -> list[Row]:
    """Judge records, each within a time limit.

    Args:
        items: ``format`` and ``content`` of a record, and the ``formula`` that the source gives beside it.
        limits: What still counts as matter.
        seconds: Time limit for one record.
        molecules: What is done with salts, charges and so on.

    Returns:
        For each item either ``stage`` and ``reason``, or its structure columns with ``formula``, ``n_atoms``,
        ``space_group``, ``volume_per_atom``, ``density``, the fingerprint ``amd``, and ``values`` and ``notes``
        from the content; for molecules also ``smiles`` and ``inchikey``, see :mod:`matgen.data.molecule_gate`.
    """
    rules = molecules or MoleculeRules()
    return [_judge(item, limits, seconds, rules) for item in items]


def _judge(item: Row, limits: Limits, seconds: float, rules: MoleculeRules) -> Row:
    stage = "read"
    try:
        with time_limit(seconds):
            if item["format"] in MOLECULE_FORMATS:
                stage = "molecule"
                return judge_molecule(item["format"], item["content"], item["formula"], rules, limits.atoms)
            reading = read_content(item["format"], item["content"])
            stage = "composition"
            if reading.structure is None:
                return _formula_row(reading, reading.notes)
            structure, more = settled(reading.structure)
            notes = reading.notes + more + _check_formula(item["formula"], structure.composition)
            stage = "structure"
            return _structure_row(*_plausible(structure, limits), reading, notes)
    except (DataError, TimeoutError) as error:
        return {"stage": stage, "reason": str(error).rstrip(".")}


def _plausible(structure: Structure, limits: Limits) -> tuple[Structure, list[float], tuple[str, ...]]:
    """The structure in a cell that tools can use, its fingerprint, and what was repaired."""
    check_cell(structure, limits)
    notes: tuple[str, ...] = ()
    if not all(limits.angles[0] <= angle <= limits.angles[1] for angle in structure.lattice.angles):
        structure, notes = structure.get_reduced_structure("LLL"), ("skew cell replaced by its reduced cell",)
    pairs = neighbours(structure, NEIGHBOURS)
    check_distances(structure.atomic_numbers, pairs, limits)
    return structure, average_minimum_distances(structure, pairs), notes


def _check_formula(given: str | None, composition: Composition) -> tuple[str, ...]:
    """Compare the formula beside a structure with its atoms."""
    if given is None or given == "":
        return ()
    try:
        stated = read_formula(given)
    except DataError:
        return (f"the formula beside the structure cannot be read: {given[:40]}",)
    if not same_shares(stated, composition):
        raise DataError(f"formula: {given[:40]} is stated but the atoms make {composition.reduced_formula}")
    return ()


def _structure_row(
    structure: Structure, amd: list[float], more: tuple[str, ...], reading: Reading, notes: tuple[str, ...]
) -> Row:
    columns: dict[str, Any] = {name: values[0] for name, values in pack([structure]).items()}
    return {
        **columns,
        "formula": structure.composition.reduced_formula,
        "n_atoms": len(structure),
        "space_group": space_group_number(structure, REFINED_SYMPREC),
        "volume_per_atom": structure.volume / len(structure),
        "density": density(structure),
        "amd": amd,
        "values": reading.values,
        "notes": [*notes, *more],
    }


def _formula_row(reading: Reading, notes: tuple[str, ...]) -> Row:
    amounts = reading.composition.get_el_amt_dict()
    whole = all(abs(amount - round(amount)) < 1e-8 for amount in amounts.values())
    formula = reading.composition.reduced_formula if whole else reading.composition.formula.replace(" ", "")
    n_atoms = round(reading.composition.num_atoms) if whole else None
    return {"formula": formula, "n_atoms": n_atoms, "values": {}, "notes": list(notes)}
