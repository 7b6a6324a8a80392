"""Relaxation of candidates, and energies of candidates as they are."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from matgen.data.structures import STRUCTURE_COLUMNS, is_molecule, pack, unpack, wrap
from matgen.errors import ConfigError, did_you_mean
from matgen.execution import Pool
from matgen.stability.batched import Relaxed, RelaxSettings, batch_of, relax_together
from matgen.stability.energy import EnergyScale
from matgen.stability.gate import Gate
from matgen.stability.molecules import relax_molecules, with_conformers
from matgen.stability.plain import relax_one_by_one
from matgen.stability.potential import PotentialSpec, load_potential
from matgen.stability.trajectory import write_trajectories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row
    from matgen.stability.potential import Potential

Method = Literal["batched", "ase"]

SHARD = 8
"""Structures relaxed together in one worker; fixed, so that results do not depend on the number of workers."""

KEPT = ("ok", "unconverged")
"""Statuses of structures that stay; the others are rejected with their reason."""

_GRACE = 60.0
"""Beyond a structure's own time limit, s, a worker is taken to hang."""


def relax(
    candidates: Candidates,
    potential: PotentialSpec = "chgnet",
    *,
    fmax: float = 0.05,
    max_steps: int = 300,
    cell: bool = True,
    symmetry: bool = False,
    seconds: float = 120.0,
    method: Method = "batched",
    trajectory: str | Path | None = None,
    executor: Executor | None = None,
) -> Candidates:
    """Relax candidates; each row gets its relaxed structure, and failed ones are rejected with a reason.

    Args:
        candidates: Structures to relax.
        potential: Name of the potential, or a mapping with its name and settings.
        fmax: Largest force of a converged structure, and largest V σ / A, eV/Å.
        max_steps: Steps after which a structure counts as unconverged; it stays, with that status.
        cell: Whether the cell relaxes too.
        symmetry: Whether the space group is kept.
        seconds: Time that one structure may use, s.
        method: ``batched``, or ``ase`` for ASE's FIRE on one structure after the other.
        trajectory: Folder for the ways of all structures, one extended XYZ file each, named by id.
        executor: Where the work runs; a pool of one process a core by default.

    Returns:
        Candidates with ``relax_status``, ``energy`` (eV/atom), ``energy_scale``, ``relax_steps``, ``relax_fmax``
        (eV/Å), ``pressure`` (GPa), ``volume_change`` (relative) and ``rmsd`` (Å, see :func:`displacement`). Energies
        are those of a potential, not of density functional theory. Molecules, which have no cell, go to
        :func:`matgen.stability.molecules.relax_molecules`, with conformers where they are laid out flat.
    """
    if candidates.structures and all(map(is_molecule, candidates.structures)):
        embedded = with_conformers(candidates, executor=executor)
        return relax_molecules(embedded, potential, fmax=fmax, max_steps=max_steps, seconds=seconds, executor=executor)
    settings = RelaxSettings(fmax, max_steps, cell, symmetry, seconds, trajectory=trajectory is not None)
    if method not in ("batched", "ase"):
        raise ConfigError(f"no method {method!r}.", where="method", fix=did_you_mean(method, ("batched", "ase")))
    work = partial(relax_shard, potential=potential, settings=asdict(settings), method=method)
    rows = _rows(candidates.structures, potential, work, "relax", seconds + _GRACE, executor)
    if trajectory is not None:
        write_trajectories(trajectory, candidates, [row.pop("frames", []) for row in rows])
    before = candidates.structures
    after = [_relaxed_structure(s, row) for s, row in zip(before, rows, strict=True)]
    columns = {
        "relax_status": [row["status"] for row in rows],
        "energy": _numbers(rows, "energy"),
        "relax_steps": [row.get("steps", 0) for row in rows],
        "relax_fmax": _numbers(rows, "fmax"),
        "pressure": _numbers(rows, "pressure"),
        "volume_change": [a.volume / b.volume - 1 if b.volume else np.nan for a, b in zip(after, before, strict=True)],
        "rmsd": [displacement(b, a) for a, b in zip(after, before, strict=True)],
    }
    reasons = [None if row["status"] in KEPT else f"{row['status']}: {row['reason']}" for row in rows]
    done = _with_scale(candidates, load_potential(potential).scale).with_columns(columns).with_structures(after)
    return done.reject("relax", reasons)


def single_point(
    candidates: Candidates, potential: PotentialSpec = "chgnet", *, executor: Executor | None = None
) -> Candidates:
    """Energies of candidates as they are, to choose whom to relax.

    Args:
        candidates: Structures.
        potential: Name of the potential, or a mapping with its name and settings.
        executor: Where the work runs; a pool of one process a core by default.

    Returns:
        Candidates with ``energy_unrelaxed`` (eV/atom) and ``energy_scale``; those that the potential must not be
        asked about are rejected with a reason.
    """
    work = partial(single_point_shard, potential=potential)
    rows = _rows(candidates.structures, potential, work, "single_point", _GRACE, executor)
    reasons = [None if row["status"] == "ok" else f"{row['status']}: {row['reason']}" for row in rows]
    done = _with_scale(candidates, load_potential(potential).scale)
    return done.with_columns({"energy_unrelaxed": _numbers(rows, "energy")}).reject("single_point", reasons)


def displacement(before: Structure, after: Structure) -> float:
    """Root mean square displacement of the atoms, Å, once the cells are laid over each other.

    Fractional coordinates are compared in the mean of the two cells, each atom with the nearest image of itself,
    after removal of a common shift.
    """
    cell = (before.lattice.matrix + after.lattice.matrix) / 2
    moved = after.frac_coords - before.frac_coords
    moved -= np.round(moved - moved[:1])
    moved -= moved.mean(axis=0)
    return float(np.sqrt(np.square(moved @ cell).sum(axis=1).mean()))


def relax_shard(items: Sequence[Row], potential: PotentialSpec, settings: Row, method: Method) -> list[Row]:
    """Relax packed structures in this process; one row each. Runs in a worker."""
    model, loop = load_potential(potential), relax_together if method == "batched" else relax_one_by_one
    structures = _unpack(items)
    results = loop(structures, model, RelaxSettings(**settings))
    return [_row(result, before, model) for result, before in zip(results, structures, strict=True)]


def single_point_shard(items: Sequence[Row], potential: PotentialSpec) -> list[Row]:
    """Energies of packed structures in this process; one row each. Runs in a worker."""
    structures = _unpack(items)
    parts = [(np.array(s.atomic_numbers), s.frac_coords, s.lattice.matrix) for s in structures]
    found = load_potential(potential).evaluate(batch_of(parts), forces=False).energy
    energies = [float(e) / len(s) for e, s in zip(found, structures, strict=True)]
    bad = {"status": "nan", "reason": "the energy is not finite"}
    return [{"status": "ok", "energy": energy} if np.isfinite(energy) else bad for energy in energies]


def _row(result: Relaxed, before: Structure, potential: Potential) -> Row:
    """The row of a result; a structure that relaxed into something the gate refuses has exploded."""
    row = {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in asdict(result).items()}
    row |= {"frac": result.frac.ravel().tolist(), "cell": result.cell.ravel().tolist()}
    if result.status in KEPT:
        reason = _gate(potential).reasons([_moved(before, result.frac, result.cell)])[0]
        if reason is not None:
            row |= {"status": "exploded", "reason": f"after relaxation, {reason}"}
    return row


def _gate(potential: Potential) -> Gate:
    return Gate(potential.elements, reach=potential.cutoff)


def _rows(
    structures: Sequence[Structure],
    potential: PotentialSpec,
    work: partial[list[Row]],
    name: str,
    seconds: float,
    executor: Executor | None,
) -> list[Row]:
    """One row a structure, in order: those that pass the gate are worked on, largest first."""
    reasons = _gate(load_potential(potential)).reasons(structures)
    rows: list[Row] = [{"status": "rejected", "reason": reason} for reason in reasons]
    # Largest first, so that all workers finish at about the same time.
    order = sorted((i for i, r in enumerate(reasons) if r is None), key=lambda i: -len(structures[i]))
    packed = pack([structures[i] for i in order])
    items = [dict(zip(packed, values, strict=True)) for values in zip(*packed.values(), strict=True)]
    done = (executor or Pool()).map(work, items, name=name, shard=SHARD, seconds=seconds)
    for i, row in zip(order, done, strict=True):
        rows[i] = _named_failure(row)
    return rows


def _unpack(items: Sequence[Row]) -> list[Structure]:
    return unpack({name: [item[name] for item in items] for name in STRUCTURE_COLUMNS})


def _named_failure(row: Row) -> Row:
    if "error" not in row:
        return row
    status = "timeout" if "time limit" in row["error"] else "oom" if "MemoryError" in row["error"] else "error"
    return {"status": status, "reason": row["error"]}


def _moved(structure: Structure, frac: Any, cell: Any) -> Structure:
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(np.reshape(cell, (3, 3))), structure.species, wrap(np.reshape(frac, (-1, 3))))


def _relaxed_structure(structure: Structure, row: Row) -> Structure:
    if row["status"] not in (*KEPT, "timeout") or "frac" not in row:
        return structure
    return _moved(structure, row["frac"], row["cell"])


def _numbers(rows: Sequence[Row], name: str) -> list[float]:
    return [float("nan") if row.get(name) is None else float(row[name]) for row in rows]


def _with_scale(candidates: Candidates, scale: EnergyScale) -> Candidates:
    if "energy_scale" not in candidates.table:
        return candidates.with_columns({"energy_scale": [str(scale)] * len(candidates)})
    if len(candidates) and EnergyScale.common(candidates.table["energy_scale"], "energy_scale") != scale:
        raise ConfigError(
            f"the candidates already carry energies on another scale than {str(scale)!r}.",
            where="energy_scale",
            fix="Use the same potential for all steps.",
        )
    return candidates
