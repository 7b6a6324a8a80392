"""Why a candidate stands where it stands, in one sentence a chemist would write."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.data.property import PROPERTIES
from matgen.data.structures import is_molecule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates

MOST_ATOMS = 20
_ON_HULL = 0.0005
"""eV/atom; less than the digits shown."""


def reasons(candidates: Candidates) -> list[str]:
    """One sentence for each candidate, from the columns that it has."""
    rows = candidates.table.to_dict("records")
    return [_sentence(row, structure) for row, structure in zip(rows, candidates.structures, strict=True)]


def charges(structure: Structure) -> str | None:
    """The likeliest oxidation states that add up to zero, as ``Sr2+ Ti4+ O2-``, or None where there are none.

    They are pymatgen's guess, ranked by how often each state occurs in the ICSD; an element of mixed valence shows
    its mean. Formula units of more than :data:`MOST_ATOMS` atoms, where the guess gets slow, go without.
    """
    return _charges(structure.composition.reduced_formula)


@lru_cache(maxsize=10_000)
def _charges(formula: str) -> str | None:
    from pymatgen.core import Composition

    try:
        guesses = Composition(formula).oxi_state_guesses(max_sites=-MOST_ATOMS)
    except ValueError:  # more atoms than that
        return None
    if not guesses or not any(guesses[0].values()):
        return None
    cations_first = sorted(guesses[0].items(), key=lambda item: item[1] < 0)
    return " ".join(f"{element}{_charge(state)}" for element, state in cations_first)


def _sentence(row: Mapping[Any, Any], structure: Structure) -> str:
    if is_molecule(structure):
        return _molecule_sentence(row)
    parts = [_stability(row), _doubt(row), *_predictions(row), _novelty(row), _relaxation(row)]
    if (states := charges(structure)) is not None:
        parts.append(f"charge neutral as {states}")
    text = "; ".join(part for part in parts if part)
    return f"{text[:1].upper()}{text[1:]}."


def _molecule_sentence(row: Mapping[Any, Any]) -> str:
    """Gap, predictions, how easily it is made, and how far from what is known."""
    parts = [f"HOMO-LUMO gap {gap:.2f} eV (GFN2-xTB)" if (gap := _number(row, "xtb_gap")) is not None else ""]
    parts += _predictions(row)
    if (ease := _number(row, "synthetic_accessibility")) is not None:
        parts.append(f"synthetic accessibility {ease:.1f} of 1 (easy) to 10")
    if not _missing(novel := row.get("novel")):
        near = _number(row, "similarity_known")
        parts.append(
            f"{'new' if novel else 'known'} molecule"
            + (f", similarity {near:.2f} to the nearest known" if near else "")
        )
    text = "; ".join(part for part in [*parts, _relaxation(row)] if part) or "no property known"
    return f"{text[:1].upper()}{text[1:]}."


def _stability(row: Mapping[Any, Any]) -> str:
    if (energy := _number(row, "e_above_hull")) is None:
        return "no energy above the hull"
    name = row.get("hull_reference")
    hull = "the reference hull" if _missing(name) else f"the {name} reference hull"
    few = ", which knows few compounds of these elements" if row.get("thin_system") else ""
    if abs(energy) < _ON_HULL:
        return f"on {hull}{few}"
    return f"{abs(energy):.3f} eV/atom {'above' if energy > 0 else 'below'} {hull}{few}"


def _doubt(row: Mapping[Any, Any]) -> str:
    """Why the energy is hard to believe, where something speaks against it."""
    doubt = row.get("implausibly_low")
    return "" if _missing(doubt) or not doubt else f"to be checked: {doubt}"


def _predictions(row: Mapping[Any, Any]) -> list[str]:
    """What surrogates predicted: each property that has a standard deviation."""
    found = []
    for name in (column.removesuffix("_std") for column in map(str, row) if column.endswith("_std")):
        mean, std = _number(row, name), _number(row, f"{name}_std")
        if mean is None or std is None:
            continue
        prop = PROPERTIES.get(name)
        label, unit = (prop.label.lower(), f" {prop.unit}") if prop else (name, "")
        where = _domain(row, name)
        found.append(f"{label} {mean:.2f} ± {std:.2f}{unit} (surrogate{where})")
    return found


def _domain(row: Mapping[Any, Any], name: str) -> str:
    """Whether the model knows such structures, and how far from them it is asked; 1 is the edge of its domain."""
    own = f"{name}_in_domain" if f"{name}_in_domain" in row else "in_domain"
    if _missing(inside := row.get(own)):
        return ""
    if inside:
        return ", in domain"
    far = _number(row, own.replace("in_domain", "domain_distance"))
    return f", outside the model's domain{f' at {far:.1f} times its edge' if far is not None and far > 1 else ''}"


def _novelty(row: Mapping[Any, Any]) -> str:
    novel, nearest = row.get("novel"), row.get("nearest_known")
    if _missing(novel):
        return ""
    what = "new structure" if novel else "known structure"
    return what if _missing(nearest) or not nearest else f"{what}, {nearest}"


def _relaxation(row: Mapping[Any, Any]) -> str:
    status = row.get("relax_status")
    return "" if _missing(status) or status == "ok" else f"relaxation {status}"


def _charge(state: float) -> str:
    size = f"{abs(state):.3g}"
    return f"{'' if size == '1' else size}{'+' if state > 0 else '-'}" if state else "0"


def _number(row: Mapping[Any, Any], name: str) -> float | None:
    value = row.get(name)
    return None if _missing(value) else float(value)  # type: ignore[arg-type]


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))
