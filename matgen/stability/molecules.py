"""Conformers, relaxation and frontier orbitals of molecules.

Shapes: A atoms. Energies eV, forces eV/Å, dipoles Debye.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds

from matgen.data.molecules import embed, is_flat, smiles_of, to_rdkit
from matgen.data.structures import molecule, pack, to_atoms, unpack_rows
from matgen.errors import DataError, MatgenError
from matgen.execution import Pool
from matgen.runtime import require
from matgen.stability.potential import PotentialSpec, load_potential

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row

SHARD = 8
"""Molecules that one worker takes at a time."""

HARTREE = 27.211386245981
BOHR = 0.529177210544
DEBYE = 2.541746473
"""Debye in one atomic unit of dipole moment."""

FULL = 0.5
"""Electrons in an orbital that counts as occupied; tblite smears by 300 K."""


def with_conformers(candidates: Candidates, seed: int = 0, *, executor: Executor | None = None) -> Candidates:
    """Candidates in which each molecule that is laid out flat has one conformer; those without any are rejected.

    Args:
        candidates: Structures without periodic axes.
        seed: Of the conformers.
        executor: Where the work runs; a pool of one process a core by default.
    """
    rows = _mapped(candidates.structures, partial(embed_shard, seed=seed), "conformers", 30.0, executor)
    after = [_structure(s, row) for s, row in zip(candidates.structures, rows, strict=True)]
    return candidates.with_structures(after).reject("conformers", [row.get("error") for row in rows])


def relax_molecules(
    candidates: Candidates,
    potential: PotentialSpec = "gfn2-xtb",
    *,
    fmax: float = 0.05,
    max_steps: int = 200,
    seconds: float = 120.0,
    executor: Executor | None = None,
) -> Candidates:
    """Relax molecules by ASE's BFGS; those whose bonds break or change are rejected.

    Args:
        candidates: Structures without periodic axes, with conformers.
        potential: Name of the potential, or a mapping with its name and settings.
        fmax: Largest force of a converged structure, eV/Å.
        max_steps: Steps after which a molecule counts as unconverged; it stays, with that status.
        seconds: Time that one molecule may use, s.
        executor: Where the work runs; a pool of one process a core by default.

    Returns:
        Candidates with ``relax_status``, ``energy`` (eV/atom), ``energy_scale``, ``relax_steps``, ``relax_fmax``
        (eV/Å) and ``rmsd`` (Å, after superposition).
    """
    scale = str(load_potential(potential).scale)
    work = partial(relax_shard, potential=potential, fmax=fmax, max_steps=max_steps, seconds=seconds)
    rows = _mapped(candidates.structures, work, "relax molecules", seconds + 60.0, executor)
    before = candidates.structures
    after = [_structure(s, row) for s, row in zip(before, rows, strict=True)]
    columns = {
        "relax_status": [row.get("status", "error") for row in rows],
        "energy": [row.get("energy", np.nan) for row in rows],
        "energy_scale": [scale] * len(rows),
        "relax_steps": [row.get("steps", 0) for row in rows],
        "relax_fmax": [row.get("fmax", np.nan) for row in rows],
        "rmsd": [superposed_rmsd(a.cart_coords, b.cart_coords) for a, b in zip(before, after, strict=True)],
    }
    return candidates.with_columns(columns).with_structures(after).reject("relax", [row.get("error") for row in rows])


def with_orbitals(candidates: Candidates, *, executor: Executor | None = None) -> Candidates:
    """Frontier orbitals by a single point of GFN2-xTB at the geometry as it is.

    Returns:
        Candidates with ``xtb_homo``, ``xtb_lumo``, ``xtb_gap`` (eV) and ``xtb_dipole`` (Debye); molecules whose
        field does not converge are rejected.
    """
    rows = _mapped(candidates.structures, orbital_shard, "orbitals", 120.0, executor)
    columns = {f"xtb_{n}": [row.get(n, np.nan) for row in rows] for n in ("homo", "lumo", "gap", "dipole")}
    return candidates.with_columns(columns).reject("orbitals", [row.get("error") for row in rows])


def embed_shard(items: Sequence[Row], seed: int) -> list[Row]:
    """Conformers of packed molecules, one row each; those with a geometry keep it. Runs in a worker."""
    return [_safely(partial(_embedded, seed=seed), s) for s in unpack_rows(items)]


def relax_shard(
    items: Sequence[Row], potential: PotentialSpec, fmax: float, max_steps: int, seconds: float
) -> list[Row]:
    """Relax packed molecules in this process; one row each. Runs in a worker."""
    work = partial(_relaxed, potential=potential, fmax=fmax, max_steps=max_steps, seconds=seconds)
    return [_safely(work, structure) for structure in unpack_rows(items)]


def orbital_shard(items: Sequence[Row]) -> list[Row]:
    """Frontier orbitals of packed molecules; one row each. Runs in a worker."""
    return [_safely(frontier, structure) for structure in unpack_rows(items)]


def frontier(structure: Structure, method: str = "GFN2-xTB") -> Row:
    """``homo``, ``lumo``, ``gap`` in eV, ``dipole`` in Debye and total ``energy`` in eV of a single point.

    Raises:
        DataError: The self-consistent field does not converge.
    """
    tblite = require("tblite.interface", "molecules")
    positions = structure.cart_coords / BOHR
    try:
        calculator = tblite.Calculator(method, np.array(structure.atomic_numbers), positions, charge=_charge(structure))
        calculator.set("verbosity", 0)
        found = calculator.singlepoint()
    except (RuntimeError, tblite.TBLiteRuntimeError) as error:
        raise DataError(f"{method} fails: {' '.join(str(error).split())[:120]}.") from error
    levels, electrons = found.get("orbital-energies"), found.get("orbital-occupations")
    homo = float(levels[electrons >= FULL].max()) * HARTREE
    empty = levels[electrons < FULL]
    lumo = float(empty.min()) * HARTREE if len(empty) else float("nan")
    return {
        "homo": homo,
        "lumo": lumo,
        "gap": lumo - homo,
        "dipole": float(np.linalg.norm(found.get("dipole"))) * DEBYE,
        "energy": float(found.get("energy")) * HARTREE,
    }


def superposed_rmsd(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square distance of (A, 3) points after the best rotation and shift (Kabsch, Acta Cryst. A 32, 1976)."""
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
    return float(np.sqrt(np.square(a @ turn - b).sum(axis=1).mean()))


def _embedded(structure: Structure, seed: int) -> Row:
    if not is_flat(structure):
        return _places(structure.cart_coords, structure)
    made = embed(smiles_of(structure), seed)
    return _places(made.cart_coords, made)


def _relaxed(structure: Structure, potential: PotentialSpec, fmax: float, max_steps: int, seconds: float) -> Row:
    from ase.optimize import BFGS

    atoms = to_atoms(structure)
    charges = np.zeros(len(atoms))
    charges[0] = _charge(structure)
    atoms.set_initial_charges(charges)
    atoms.calc = load_potential(potential).calculator()
    start = time.perf_counter()
    with BFGS(atoms, logfile=None) as run:
        for _ in run.irun(fmax=fmax, steps=max_steps):
            if time.perf_counter() - start > seconds:
                break
        steps = int(run.nsteps)
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if _bonds(structure.atomic_numbers, atoms.positions) != _bonds(structure.atomic_numbers, structure.cart_coords):
        raise DataError("rearranged: its bonds changed in relaxation.")
    status = "ok" if force < fmax else "unconverged"
    energy = float(atoms.get_potential_energy()) / len(atoms)
    return {**_places(atoms.positions, structure), "status": status, "energy": energy, "steps": steps, "fmax": force}


def _bonds(numbers: Sequence[int], positions: np.ndarray) -> frozenset[tuple[int, int]]:
    """Pairs of atoms that are close enough to be bonded."""
    found = Chem.RWMol()
    for z in numbers:
        found.AddAtom(Chem.Atom(int(z)))
    conformer = Chem.Conformer(len(numbers))
    conformer.SetPositions(np.ascontiguousarray(positions, dtype=float))
    found.AddConformer(conformer)
    with rdBase.BlockLogs():
        rdDetermineBonds.DetermineConnectivity(found)
    return frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in found.GetBonds())


def _charge(structure: Structure) -> int:
    return int(Chem.GetFormalCharge(to_rdkit(structure)))


def _places(positions: np.ndarray, structure: Structure) -> Row:
    return {"numbers": list(structure.atomic_numbers), "positions": np.asarray(positions).ravel().tolist()}


def _structure(before: Structure, row: Row) -> Structure:
    if "positions" not in row:
        return before
    return molecule(row["numbers"], np.reshape(row["positions"], (-1, 3)), smiles_of(before))


def _safely(work: Callable[[Structure], Row], structure: Structure) -> Row:
    try:
        return work(structure)
    except (MatgenError, ValueError, RuntimeError, ArithmeticError) as error:
        return {"error": " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__}


def _mapped(
    structures: Sequence[Structure], work: Any, name: str, seconds: float, executor: Executor | None
) -> list[Row]:
    packed = pack(structures)
    items = [dict(zip(packed, values, strict=True)) for values in zip(*packed.values(), strict=True)]
    return (executor or Pool()).map(work, items, name=name, shard=SHARD, seconds=seconds)
