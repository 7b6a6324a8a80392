from __future__ import annotations

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matgen.constraints.screening import screen
from matgen.data.candidates import Candidates
from matgen.errors import ConfigError
from matgen.execution import Pool


@pytest.fixture
def candidates(rocksalt, perovskite) -> Candidates:
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.01]])
    toxic = Structure(
        Lattice.cubic(4.5), ["Cd", "Cl", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    )
    return Candidates(pd.DataFrame({"id": list("abcd"), "extra": range(4)}), [rocksalt, perovskite, overlap, toxic])


def test_survivors_get_columns_and_the_rest_reasons(candidates):
    kept = screen(candidates)
    assert kept.table.to_dict("list") == {
        "id": ["a", "b"],
        "extra": [0, 1],
        "formula": ["NaCl", "SrTiO3"],
        "n_atoms": [2, 5],
        "space_group": [225, 221],
        "valid": [True, True],
    }
    assert kept.rejected.id.tolist() == ["c", "d"]
    assert kept.rejected.stage.tolist() == ["screen", "screen"]
    assert not kept.rejected.valid.any()
    overlap, toxic = kept.rejected.reason
    assert overlap.startswith("Na and Cl are 0.04 Å apart")
    assert toxic.startswith("Cd is toxic; no known oxidation states make CdCl3 neutral")


def test_a_process_pool_gives_the_same(candidates):
    here = screen(candidates)
    with Pool(workers=1) as pool:
        there = screen(candidates, executor=pool)
    pd.testing.assert_frame_equal(here.table, there.table)
    pd.testing.assert_frame_equal(here.rejected, there.rejected)


def test_only_the_named_constraints_act(candidates):
    assert len(screen(candidates, ["charge_neutral"])) == 3
    assert len(screen(candidates, [])) == 4
    with pytest.raises(ConfigError, match="no constraint called 'charge'"):
        screen(candidates, ["charge"])


def test_no_candidates_give_an_empty_table():
    empty = screen(Candidates(pd.DataFrame({"id": []}), []))
    assert len(empty) == 0
    assert {"formula", "n_atoms", "space_group", "valid"} <= set(empty.table)


def test_columns_that_are_there_stay(rocksalt):
    kept = screen(Candidates(pd.DataFrame({"id": ["a"], "formula": ["Na1 Cl1"]}), [rocksalt]))
    assert kept.table.formula.tolist() == ["Na1 Cl1"]
