"""Molecules by GFN2-xTB: published energies, geometries that keep their bonds, and failures that are told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matgen.data.candidates import Candidates
from matgen.data.molecules import embed, is_flat, sketch, smiles_of
from matgen.data.structures import from_atoms, molecule
from matgen.execution import Serial
from matgen.stability.molecules import (
    frontier,
    relax_molecules,
    superposed_rmsd,
    with_conformers,
    with_orbitals,
)
from matgen.stability.potential import load_potential

pytest.importorskip("tblite")


def _candidates(smiles, make=sketch):
    table = pd.DataFrame({"id": [f"m{i}" for i in range(len(smiles))], "smiles": smiles})
    return Candidates(table, [make(s) for s in smiles])


def test_water_has_the_energy_that_tblite_documents():
    from ase.build import molecule as known

    atoms = known("H2O")
    atoms.calc = load_potential("gfn2-xtb").calculator()
    assert atoms.get_potential_energy() == pytest.approx(-137.96777594, abs=1e-4)
    assert frontier(from_atoms(atoms))["energy"] == pytest.approx(-137.96777594, abs=1e-4)


def test_gaps_order_as_chemistry_says():
    gaps = {s: frontier(embed(s, 1))["gap"] for s in ("CC", "C=C", "C=CC=C", "c1ccc2cc3ccccc3cc2c1")}
    assert gaps["CC"] > gaps["C=C"] > gaps["C=CC=C"] > gaps["c1ccc2cc3ccccc3cc2c1"] > 0


def test_from_a_drawing_to_a_relaxed_molecule_with_orbitals():
    drawn = _candidates(["CCO", "CC(=O)[O-]"])
    assert all(map(is_flat, drawn.structures))
    made = with_conformers(drawn, seed=1, executor=Serial())
    assert not any(map(is_flat, made.structures))
    done = with_orbitals(relax_molecules(made, executor=Serial()), executor=Serial())
    assert list(done.table["relax_status"]) == ["ok", "ok"]
    assert (done.table["relax_fmax"] < 0.05).all()
    assert (done.table["rmsd"] < 0.5).all()
    assert list(done.table["energy_scale"]) == ["gfn2-xtb/none"] * 2
    assert [smiles_of(molecule(s.atomic_numbers, s.cart_coords)) for s in done.structures[:1]] == ["CCO"]
    assert (done.table["xtb_gap"] > 3).all()


def test_a_molecule_that_falls_apart_is_rejected_with_the_reason():
    ethane = embed("CC", 1)
    torn = ethane.cart_coords.copy()
    torn[ethane.atomic_numbers.index(6)] += [0, 0, 1.6]
    candidates = Candidates(pd.DataFrame({"id": ["a"]}), [molecule(ethane.atomic_numbers, torn, "CC")])
    done = relax_molecules(candidates, executor=Serial(), max_steps=60)
    assert len(done) == 0
    assert done.rejected.at[0, "stage"] == "relax"


def test_superposition_ignores_rotation_and_shift_but_not_reflection():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.0]])
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    assert superposed_rmsd(points, points @ turn.T + 5) == pytest.approx(0, abs=1e-9)
    assert superposed_rmsd(points, points * [1, 1, -1]) > 0.1
