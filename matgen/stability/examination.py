"""Checks beyond the energy, for the few candidates that are worth them."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.data.structures import STRUCTURE_COLUMNS, pack, unpack
from matgen.errors import MatgenError
from matgen.execution import Pool
from matgen.stability.batched import RelaxSettings, relax_together
from matgen.stability.elasticity import elasticity, equation_of_state
from matgen.stability.phonons import phonon_frequencies
from matgen.stability.plausibility import decomposition, suspicions
from matgen.stability.potential import PotentialSpec, load_potential

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row
    from matgen.stability.potential import Potential

SOFTEST = -0.3
"""Lowest frequency, THz, that still counts as stable: smaller imaginary ones are noise of the displacements."""

COLUMNS = (
    "phonon_min",
    "dynamically_stable",
    "born_stable",
    "bulk_modulus_vrh",
    "shear_modulus_vrh",
    "eos_volume",
    "eos_bulk_modulus",
    "examination",
)


def examine(
    candidates: Candidates,
    potential: PotentialSpec = "chgnet",
    *,
    fmax: float = 0.01,
    seconds: float = 600.0,
    executor: Executor | None = None,
) -> Candidates:
    """Check dynamical and elastic stability of candidates, and say what they would decompose into.

    Each structure is relaxed to ``fmax`` first, because strains and displacements about anything but a minimum mean
    nothing; the candidates keep the structures they came with. No row is rejected: a check that fails says so.

    Args:
        candidates: Relaxed candidates, the few best.
        potential: Name of the potential, or a mapping with its name and settings.
        fmax: Largest force of that relaxation, eV/Å.
        seconds: Time limit of one structure, s.
        executor: Where the work runs; a pool of one process a core by default.

    Returns:
        Candidates with ``phonon_min`` (THz, negative when imaginary), ``dynamically_stable``, ``born_stable``,
        ``bulk_modulus_vrh``, ``shear_modulus_vrh``, ``eos_bulk_modulus`` (GPa), ``eos_volume`` (Å³/atom) and
        ``examination`` (``ok``, or which checks failed and why); after :func:`matgen.hull` also ``decomposition`` in
        words and ``implausibly_low``, the reasons to doubt an energy far below the hull. All are those of a potential.
    """
    packed = pack(candidates.structures)
    items = [dict(zip(packed, values, strict=True)) for values in zip(*packed.values(), strict=True)]
    work = partial(examine_shard, potential=potential, fmax=fmax)
    rows = (executor or Pool()).map(work, items, name="examine", shard=1, seconds=seconds)
    done = candidates.with_columns({name: [_value(row, name) for row in rows] for name in COLUMNS})
    if "e_above_hull" not in candidates.table:
        return done
    return done.with_columns({"decomposition": decomposition(candidates), "implausibly_low": suspicions(candidates)})


def examine_shard(items: Sequence[Row], potential: PotentialSpec, fmax: float) -> list[Row]:
    """Examine packed structures in this process; one row each. Runs in a worker."""
    structures = unpack({name: [item[name] for item in items] for name in STRUCTURE_COLUMNS})
    return [check_candidate(structure, load_potential(potential), fmax) for structure in structures]


def check_candidate(structure: Structure, potential: Potential, fmax: float = 0.01) -> Row:
    """All checks of one structure (see :func:`examine`); a check that fails leaves its reason in ``examination``."""
    relaxed = relax_together([structure], potential, RelaxSettings(fmax=fmax, max_steps=500, seconds=300.0))[0]
    if relaxed.status != "ok":
        return {"examination": f"not relaxed: {asdict(relaxed)['reason']}"}
    from pymatgen.core import Lattice, Structure

    minimum = Structure(Lattice(relaxed.cell), structure.species, relaxed.frac)
    row: Row = {}
    failures = []
    for name, check in (("phonons", _phonons), ("elasticity", _elasticity), ("equation of state", _state)):
        try:
            row |= check(minimum, potential)
        except (MatgenError, ValueError, RuntimeError, np.linalg.LinAlgError) as error:
            failures.append(f"{name}: {error}")
    return {**row, "examination": "; ".join(failures) or "ok"}


def _phonons(structure: Structure, potential: Potential) -> Row:
    lowest = float(phonon_frequencies(structure, potential).min())
    return {"phonon_min": lowest, "dynamically_stable": lowest > SOFTEST}


def _elasticity(structure: Structure, potential: Potential) -> Row:
    found = elasticity(structure, potential)
    moduli = {"bulk_modulus_vrh": found.bulk_modulus, "shear_modulus_vrh": found.shear_modulus}
    return {"born_stable": found.born_stable, **{k: v if np.isfinite(v) else None for k, v in moduli.items()}}


def _state(structure: Structure, potential: Potential) -> Row:
    volume, modulus = equation_of_state(structure, potential)
    return {"eos_volume": volume, "eos_bulk_modulus": modulus}


def _value(row: Row, name: str) -> Any:
    if name == "examination":
        return row.get(name) or row.get("error", "")
    value = row.get(name)
    return value if value is not None or name.endswith("stable") else float("nan")
