"""Making a table of reference energies: known structures and the elements, computed with one potential.

Single-point energies of all structures come first. They show which structures matter: those on or near the hull that
they span, which are then relaxed. A row says which of the two its energy is. Compositions that are known to exist, but
whose structures are not at hand, may join with guessed structures; these are always relaxed, and their rows say so.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen import __version__
from matgen.data.candidates import Candidates
from matgen.elements import symbols
from matgen.execution import Pool
from matgen.stability.allotropes import allotropes, plausible
from matgen.stability.energy import EnergyScale
from matgen.stability.hull import hull, is_thin
from matgen.stability.potential import PotentialSpec, load_potential
from matgen.stability.references import COLUMNS, ReferenceTable, lowest
from matgen.stability.relaxation import relax, single_point

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pymatgen.core import Structure

    from matgen.execution import Executor

log = logging.getLogger(__name__)

STARTS = 8
"""Allotropes of each element that are relaxed: those of lowest energy before relaxation."""

GUESS_STEPS = 100
"""Steps that a guessed structure gets to relax; unconverged ones still bound the energy from above."""


def build_reference(
    structures: Sequence[Structure],
    out: str | Path,
    *,
    guesses: Sequence[Structure] = (),
    potential: PotentialSpec = "chgnet",
    elements: Iterable[int] | None = None,
    window: float = 0.03,
    fmax: float = 0.03,
    facts: dict[str, Any] | None = None,
    executor: Executor | None = None,
) -> ReferenceTable:
    """Compute a reference table and write it.

    Args:
        structures: Known structures, compounds and elements.
        out: Folder to write to; its name is the table's.
        guesses: Structures of known compositions that were guessed, for example from prototypes. Their relaxed
            energies are upper bounds: good enough to keep a hull from having holes.
        potential: Name of the potential, or a mapping with its name and settings.
        elements: Atomic numbers to find references of; all that the potential knows by default.
        window: Structures up to this far above the hull of single-point energies are relaxed, eV/atom.
        fmax: Largest force of a relaxed structure, eV/Å; below that of candidates, so that these are not flattered.
        facts: What else the card should say, for example where the structures come from.
        executor: Where the work runs.
    """
    from pathlib import Path

    name, model, executor = Path(out).name, load_potential(potential), executor or Pool()
    wanted = sorted(model.elements if elements is None else elements)
    elemental = _element_entries([s for s in structures if len(s.composition) == 1], wanted, potential, fmax, executor)
    table = ReferenceTable(elemental, model.scale, name)
    log.info("%d of %d elements have a reference", len(elemental), len(wanted))
    computed = _known_entries(_compounds(structures, table), table, potential, window, fmax, executor)
    guessed = _guessed_entries(_compounds(guesses, table), potential, executor)
    entries = lowest(pd.concat([elemental, guessed, computed], ignore_index=True)[list(COLUMNS)])
    card = {
        **describe(entries, wanted),
        "single_point_bias": single_point_bias(computed),
        "fmax": fmax,
        "window": window,
    }
    ReferenceTable(entries, model.scale, name, {"matgen": __version__, **card, **(facts or {})}).save(out)
    return ReferenceTable.open(out)


def _compounds(structures: Sequence[Structure], elements: ReferenceTable) -> list[Structure]:
    """Those of several elements that all have a reference energy."""
    known = set(elements.element_energies)
    return [s for s in structures if len(s.composition) > 1 and {e.symbol for e in s.composition.elements} <= known]


def _element_entries(
    known: Sequence[Structure], wanted: Sequence[int], potential: PotentialSpec, fmax: float, executor: Executor
) -> pd.DataFrame:
    """The lowest plausible allotrope of each element: known ones as they are, and these and prototypes relaxed.

    A potential may deform a known crystal beyond belief when it relaxes; then its energy as it is stands.
    """
    prototypes = _candidates([s for z in wanted for s in allotropes(z)])
    scored = single_point(prototypes, potential, executor=executor)
    order = scored.table.assign(z=[s.atomic_numbers[0] for s in scored.structures]).sort_values("energy_unrelaxed")
    best = sorted(order.groupby("z").head(STARTS).index)
    known = [s for s in known if s.atomic_numbers[0] in set(wanted)]
    starts = [scored.structures[i] for i in best] + known
    relaxed = relax(_candidates(starts), potential, fmax=fmax, executor=executor)
    sound = [plausible(s, s.atomic_numbers[0]) for s in relaxed.structures]
    as_they_are = single_point(_candidates(known), potential, executor=executor)
    return lowest(
        pd.concat(
            [_entries(relaxed, "energy", "element")[sound], _entries(as_they_are, "energy_unrelaxed", "element")],
            ignore_index=True,
        )
    )


def _known_entries(
    structures: Sequence[Structure],
    elements: ReferenceTable,
    potential: PotentialSpec,
    window: float,
    fmax: float,
    executor: Executor,
) -> pd.DataFrame:
    """One row a structure, relaxed where it matters; the column ``unrelaxed`` keeps the single-point energy."""
    if not structures:
        return _entries(_candidates([]), "energy_unrelaxed", "known")
    scored = single_point(_candidates(structures), potential, executor=executor)
    rough = lowest(pd.concat([elements.entries, _entries(scored, "energy_unrelaxed", "known")], ignore_index=True))
    judged = hull(scored, ReferenceTable(rough, elements.scale, "single points"), energies="energy_unrelaxed")
    near = np.flatnonzero(judged.table["e_above_hull_unrelaxed"].to_numpy() <= window)
    log.info("%d of %d structures lie within %g eV/atom of the hull", len(near), len(judged), window)
    chosen = Candidates(judged.table.iloc[near][["id", "energy_unrelaxed"]], [judged.structures[i] for i in near])
    relaxed = relax(chosen, potential, fmax=fmax, executor=executor)
    final = _entries(relaxed, "energy", "known").assign(unrelaxed=relaxed.table["energy_unrelaxed"])
    rest = ~judged.table["id"].isin(relaxed.table["id"])
    return pd.concat([final, _entries(judged, "energy_unrelaxed", "known")[rest.to_numpy()]], ignore_index=True)


def _guessed_entries(structures: Sequence[Structure], potential: PotentialSpec, executor: Executor) -> pd.DataFrame:
    relaxed = relax(_candidates(structures), potential, max_steps=GUESS_STEPS, executor=executor)
    return _entries(relaxed, "energy", "guessed")


def single_point_bias(entries: pd.DataFrame) -> dict[str, float]:
    """How far single-point energies lie above relaxed ones, eV/atom: what unrelaxed rows overstate."""
    gain = (entries["unrelaxed"] - entries["energy"])[entries["relaxed"]].dropna() if "unrelaxed" in entries else []
    if len(gain) == 0:
        return {}
    quantiles = {f"p{q}": round(float(np.percentile(gain, q)), 5) for q in (50, 90, 99)}
    return {"n": len(gain), "mean": round(float(np.mean(gain)), 5), **quantiles}


def describe(entries: pd.DataFrame, wanted: Sequence[int]) -> dict[str, Any]:
    """What a table holds and what it lacks: counts, missing elements, chemical systems known and thin."""
    systems = Counter(frozenset(_symbols(formula)) for formula in entries["formula"])
    elements = {next(iter(s)) for s in systems if len(s) == 1}
    in_compounds = {symbol for s in systems if len(s) > 1 for symbol in s}
    table = ReferenceTable(entries, EnergyScale("any"), "described")
    compounds = {s: sum(len(e.composition) > 1 for e in table.within(s)) for s in systems if len(s) > 1}
    return {
        "n_entries": len(entries),
        "n_relaxed": int(entries["relaxed"].sum()),
        "n_guessed": int((entries["origin"] == "guessed").sum()),
        "n_elements": len(elements),
        "elements_without_reference": [symbols()[z] for z in wanted if symbols()[z] not in elements],
        "elements_without_compound": sorted(elements - in_compounds),
        "chemical_systems": {str(k): sum(len(s) == k for s in systems) for k in range(1, 1 + max(map(len, systems)))},
        "binary_systems_without_compound": len(elements) * (len(elements) - 1) // 2 - sum(len(s) == 2 for s in systems),
        "thin_systems": sum(is_thin(len(s), n) for s, n in compounds.items()),
    }


def _candidates(structures: Sequence[Structure]) -> Candidates:
    return Candidates(pd.DataFrame({"id": [str(i) for i in range(len(structures))]}), list(structures))


def _entries(candidates: Candidates, energy: str, origin: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "formula": [s.composition.reduced_formula for s in candidates.structures],
            "energy": candidates.table[energy].to_numpy(dtype=float),
            "n_atoms": [len(s) for s in candidates.structures],
            "relaxed": energy == "energy",
            "origin": origin,
        }
    )


def _symbols(formula: str) -> list[str]:
    from pymatgen.core import Composition

    return [element.symbol for element in Composition(formula).elements]
