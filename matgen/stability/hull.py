"""Formation energies and energies above a convex hull of reference entries."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import numpy as np
from pymatgen.analysis.phase_diagram import PhaseDiagram

from matgen.errors import ConfigError
from matgen.stability.energy import Energies, EnergyScale
from matgen.stability.references import ReferenceTable, load_reference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pymatgen.core import Composition

    from matgen.data.candidates import Candidates

EnergyColumn = Literal["energy", "energy_unrelaxed"]

_SMALLEST_SHARE = 1e-6
"""Shares of a competing phase below this are rounding errors."""


def hull(
    candidates: Candidates,
    reference: str | Path | ReferenceTable = "chgnet-0.3.0",
    *,
    energies: EnergyColumn = "energy",
) -> Candidates:
    """Judge candidates against the convex hull of a reference table.

    Args:
        candidates: With ``energy`` (or ``energy_unrelaxed``) and ``energy_scale``, as :func:`relax` adds them.
        reference: Name of a shipped table, path of one's own, a table, or ``mp`` for energies of density functional
            theory from the Materials Project, by which only such energies are judged.
        energies: Which column to judge; with ``energy_unrelaxed`` the new columns end in ``_unrelaxed`` too.

    Returns:
        Candidates with ``e_form`` (eV/atom, against the elements), ``e_above_hull`` (eV/atom; negative below the known
        hull), ``competing_phases`` (with their shares of the atoms), ``reference_entries`` (compounds known in the
        chemical system, subsystems included), ``thin_system`` (too few of them to trust the hull) and
        ``hull_reference``. A candidate with an element that the table lacks is rejected.

    Raises:
        ConfigError: There are no energies, or they are on another scale than the table's.
    """
    systems = {tuple(sorted(e.symbol for e in s.composition.elements)) for s in candidates.structures}
    table = reference if isinstance(reference, ReferenceTable) else load_reference(reference, systems)
    values = _energies(candidates, energies, table)
    known = table.element_energies
    compositions = [s.composition for s in candidates.structures]
    missing = [[e.symbol for e in c.elements if e.symbol not in known] for c in compositions]
    reasons = [f"no reference energy of {', '.join(m)} in {table.name}" if m else None for m in missing]
    finite = np.isfinite(values.per_atom)
    reasons = [r or (None if ok else "no energy") for r, ok in zip(reasons, finite, strict=True)]
    kept = candidates.reject("hull", reasons)
    keep = np.array([reason is None for reason in reasons], dtype=bool)
    columns = _judge(kept, Energies(values.per_atom[keep], values.scale), table)
    suffix = "_unrelaxed" if energies == "energy_unrelaxed" else ""
    return kept.with_columns({name + suffix: column for name, column in columns.items()})


def _energies(candidates: Candidates, column: EnergyColumn, table: ReferenceTable) -> Energies:
    if column not in candidates.table or "energy_scale" not in candidates.table:
        raise ConfigError(f"the candidates have no column {column!r}.", fix="Run 'matgen relax' first.")
    values = candidates.table[column].to_numpy(dtype=float)
    if len(candidates) == 0:
        return Energies(values, table.scale)
    return Energies(values, EnergyScale.common(candidates.table["energy_scale"], "energy_scale"))


def _judge(candidates: Candidates, energies: Energies, table: ReferenceTable) -> Mapping[str, list[object]]:
    compositions = [s.composition for s in candidates.structures]
    per_atom = energies.on(table.scale, f"reference {table.name}")
    by_system: dict[frozenset[str], list[int]] = defaultdict(list)
    for i, composition in enumerate(compositions):
        by_system[frozenset(e.symbol for e in composition.elements)].append(i)
    above, phases = np.full(len(compositions), np.nan), [""] * len(compositions)
    counts, thin = [0] * len(compositions), [False] * len(compositions)
    for system, members in by_system.items():
        entries = table.within(system)
        diagram = PhaseDiagram(entries)
        compounds = sum(len(entry.composition) > 1 for entry in entries)
        for i in members:
            decomposition, floor = _decomposition(diagram, compositions[i])
            above[i], phases[i] = per_atom[i] - floor, decomposition
            counts[i], thin[i] = compounds, is_thin(len(system), compounds)
    return {
        "e_form": list(table.formation_energies(compositions, energies)),
        "e_above_hull": list(above),
        "competing_phases": phases,
        "reference_entries": counts,
        "thin_system": thin,
        "hull_reference": [table.name] * len(compositions),
    }


def is_thin(n_elements: int, compounds: int) -> bool:
    """Whether a chemical system of so many elements has too few known compounds for its hull to be trusted."""
    return n_elements > 1 and compounds < 2 * (n_elements - 1)


def _decomposition(diagram: PhaseDiagram, composition: Composition) -> tuple[str, float]:
    """Competing phases in words and their energy, eV/atom: the hull at this composition."""
    parts = {entry: s for entry, s in diagram.get_decomposition(composition).items() if s > _SMALLEST_SHARE}
    floor = sum(entry.energy_per_atom * share for entry, share in parts.items())
    shares = sorted(((s, entry.composition.reduced_formula) for entry, s in parts.items()), key=lambda x: (-x[0], x[1]))
    return " + ".join(f"{share:.3g} {formula}" for share, formula in shares), float(floor)
