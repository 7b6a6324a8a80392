"""Why a candidate satisfies each constraint of its run, in words, computed again from its structure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from matgen.constraints.specification import DEFAULT_SPECS, build_constraints
from matgen.errors import MatgenError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core import Structure

    from matgen.constraints.base import Constraint


def constraints_of(run: Path) -> tuple[Constraint, ...]:
    """The constraints that a run screened with, from its ``config.yaml``; the default ones where it names none.

    Those that this installation cannot build, because they were the user's own, are left out.
    """
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    stage = (config or {}).get("screen") or {}
    built: list[Constraint] = []
    for spec in stage.get("constraints", DEFAULT_SPECS):
        try:
            built += build_constraints([spec])
        except MatgenError:
            continue
    return tuple(built)


def verdict_sentences(
    formula: str, structure: Structure, constraints: Sequence[Constraint], reasons: Sequence[str]
) -> tuple[list[str], list[str]]:
    """What each constraint says of a structure: sentences on those that it satisfies, and on those that it breaks.

    Args:
        formula: Its formula.
        structure: The relaxed structure, which may break a constraint that the sampled one satisfied.
        constraints: The constraints.
        reasons: The ranking's notes, of which one may hold the oxidation states.
    """
    kept, broken = [], []
    for constraint in constraints:
        verdict = constraint.check([structure])
        if verdict.passed[0]:
            kept.append(_kept(formula, structure, constraint, float(verdict.score[0]), reasons))
        else:
            broken.append(f"After relaxation {formula} breaks the constraint {constraint.name}: {verdict.reasons[0]}.")
    return kept, broken


def _kept(formula: str, structure: Structure, constraint: Constraint, score: float, reasons: Sequence[str]) -> str:
    settings: Any = constraint
    match constraint.name:
        case "min_distance":
            return f"No two atoms of {formula} are too close: the tightest pair stands at {score:.2f} times its limit."
        case "volume_per_atom":
            limits = f"{settings.low:g} and {settings.high:g} Å3"
            return f"The volume of {formula} is {score:.3g} Å3 per atom, between the limits of {limits}."
        case "elements":
            barred = [*getattr(settings, "exclude", ()), *getattr(settings, "forbidden", ())]
            return f"No element of {formula} is among those excluded{_bracketed(', '.join(barred))}."
        case "n_elements":
            return f"{formula} has {score:g} elements, within the limits of {settings.low:g} to {settings.high:g}."
        case "charge_neutral":
            states = next((m[1] for r in reasons if (m := re.search(r"charge neutral as (.+)", r))), "")
            return _charges(formula, structure, states)
    given = ", ".join(
        f"{k} {v}" for k, v in vars(constraint).items() if not k.startswith("_") and v not in (None, (), "")
    )
    return f"{formula} satisfies the constraint {constraint.name}{_bracketed(given)}."


def _charges(formula: str, structure: Structure, states: str) -> str:
    if all(element.is_metal for element in structure.composition.elements):
        return f"{formula} consists of metals only, for which charges need not balance."
    if not states:
        return f"The charges of {formula} balance in known oxidation states."
    mean = ", a mean over different charges" if re.search(r"\d\.\d", states) else ""
    return f"The charges of {formula} balance as {states}{mean}."


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""
