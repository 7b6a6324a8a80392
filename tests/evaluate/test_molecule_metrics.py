"""Metrics of molecules: known answers on sets small enough to count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matgen.data.molecules import embed
from matgen.data.structures import molecule, write_structures
from matgen.errors import ConfigError, DataError
from matgen.evaluate.molecules import (
    bond_order,
    cosine,
    evaluate_molecules,
    frechet,
    set_metrics,
    space_metrics,
    stable_atoms,
    tanimoto,
)

SOME = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccccc1", "CCN", "C1CCCCC1", "COc1ccccc1"]


def test_counted_by_hand():
    found = set_metrics(["CCO", "OCC", "CCN", "nonsense"], train=["CCN"], reference=SOME, ks=(2, 1000))
    assert found["valid"] == 0.75
    assert found["unique@2"] == 0.5
    assert found["unique"] == pytest.approx(2 / 3)
    assert found["novel"] == 0.5  # of ethanol and ethylamine the first is new
    assert "unique@1000" not in found


def test_a_set_against_itself_is_perfect():
    found = set_metrics(SOME, train=[], reference=SOME)
    assert found["snn"] == pytest.approx(1.0)
    assert found["fragments"] == pytest.approx(1.0)
    assert found["scaffolds"] == pytest.approx(1.0)
    assert all(value == pytest.approx(0) for value in found["wasserstein"].values())
    assert 0 < found["diversity"] < 1


def test_wasserstein_is_the_shift_of_one_molecule():
    found = set_metrics(["CCO"], train=[], reference=["CCN", "CCN"])
    assert found["wasserstein"]["weight"] == pytest.approx(46.069 - 45.085, abs=0.01)


def test_similarities_by_hand():
    assert tanimoto(np.array([[1, 1, 0]]), np.array([[1, 0, 1], [1, 1, 0]])) == pytest.approx(np.array([[1 / 3, 1.0]]))
    assert cosine({"a": 1}, {"a": 3}) == pytest.approx(1)
    assert cosine({"a": 1}, {"b": 3}) == 0


def test_the_frechet_distance_of_normal_distributions():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(4000, 3))
    assert frechet(sample, sample) == pytest.approx(0, abs=1e-9)
    # Moved by one standard deviation in one entry, and twice as wide in another: 1 + (2 - 1)^2.
    assert frechet(sample * [1, 2, 1] + [1, 0, 0], sample) == pytest.approx(2.0, abs=0.1)
    assert np.isnan(frechet(sample[:1], sample))


def test_bonds_by_distance():
    assert [bond_order("C", "C", d) for d in (120, 134, 154, 170)] == [3, 2, 1, 0]
    assert bond_order("F", "C", 135) == 1
    assert bond_order("Si", "C", 150) == 0


def test_relaxed_molecules_are_stable_and_torn_ones_are_not():
    ethanol = embed("CCO", 1)
    assert stable_atoms(ethanol).all()
    torn = ethanol.cart_coords.copy()
    torn[-1] += 3
    broken = molecule(ethanol.atomic_numbers, torn)
    found = space_metrics([ethanol, broken], train=["CCO"])
    assert found["molecule_stable"] == found["valid"] == 0.5
    assert found["atom_stable"] == pytest.approx(1 - 2 / 18)  # the torn hydrogen and the atom it left
    assert found["novel"] == 0


def test_files_are_judged_by_what_they_hold(tmp_path):
    pd.DataFrame({"smiles": [*SOME, "broken("]}).to_csv(tmp_path / "made.csv", index=False)
    found = evaluate_molecules(tmp_path / "made.csv", tmp_path / "made.csv")
    assert found["valid"] == pytest.approx(6 / 7)
    assert "RDKit" in found["protocol"]
    structures = [embed(s, 1) for s in SOME[:2]]
    write_structures(tmp_path / "made.extxyz", pd.DataFrame({"id": ["a", "b"]}), structures)
    assert evaluate_molecules(tmp_path / "made.extxyz")["valid"] == 1.0
    with pytest.raises(ConfigError, match="compare with"):
        evaluate_molecules(tmp_path / "made.csv")
    with pytest.raises(DataError, match="not one valid"):
        set_metrics(["((("], [], SOME)
