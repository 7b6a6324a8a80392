"""Several candidates for each wanted structure: every generator, every judge, the others kept as rejected rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

import matgen
from matgen.data.candidates import Candidates
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.optimize.judges import Judge, judge_of
from matgen.optimize.selection import SELECTION, best_of, predict_structures, sample


class Table(Judge):
    name = "a table"

    def __init__(self, scores):
        self.given = np.array(scores, dtype=float)

    def scores(self, candidates, executor):
        return self.given


def salt(edge, kind="NaCl"):
    return Structure(Lattice.cubic(edge), [*kind.split("-")], [[0] * 3, [0.5] * 3])


def candidates(edges):
    table = pd.DataFrame({"id": [f"c{i}" for i in range(len(edges))]})
    return Candidates(table, [salt(edge, "Cs-Cl") for edge in edges])


def test_the_best_of_each_stays_and_the_others_say_their_place():
    made = best_of(candidates([4.1] * 6), [0, 0, 0, 1, 1, 1], Table([3, 1, 2, np.nan, 5, 5]))
    assert made.table["id"].tolist() == ["c1", "c4"]
    assert made.table["rank_score"].tolist() == [1, 5]
    assert made.rejected["stage"].unique().tolist() == [SELECTION]
    assert made.rejected["reason"].tolist() == [
        "place 3 of 3 by a table (3)", "place 2 of 3 by a table (2)",
        "place 3 of 3 by a table (none)", "place 2 of 3 by a table (5)",
    ]  # fmt: skip


def test_one_stays_where_the_judge_knows_none():
    made = best_of(candidates([4.1] * 2), [0, 0], Table([np.nan, np.nan]))
    assert made.table["id"].tolist() == ["c0"]


@pytest.mark.parametrize("spelling", ["energy", "relaxed-energy"])
def test_energy_prefers_the_right_volume(spelling):
    judge = judge_of(spelling, "retrieval")
    found = judge.scores(candidates([4.1, 5.4]) if spelling == "energy" else candidates([4.0, 4.2]), Serial())
    assert np.isfinite(found).all()
    if spelling == "energy":
        assert found[0] < found[1] - 0.1
    else:
        assert found[0] == pytest.approx(found[1], abs=5e-3)


def test_a_structure_that_the_potential_refuses_has_no_score():
    found = judge_of("energy", "retrieval").scores(candidates([4.1, 0.9]), Serial())
    assert np.isfinite(found).tolist() == [True, False]


def test_likelihood_tells_a_crystal_from_a_shaken_one(rocksalt):
    shaken = rocksalt.copy()
    shaken.perturb(0.7)
    table = pd.DataFrame({"id": ["whole", "shaken"]})
    found = judge_of("likelihood", "flow-mp20").scores(Candidates(table, [rocksalt, shaken]), Serial())
    assert found[0] < found[1]


def test_arrangement_tells_a_perovskite_from_another_one_with_ions_exchanged(perovskite):
    exchanged = perovskite.copy()
    for site, kind in enumerate(["O", "Ti", "Ba", "O", "O"]):
        exchanged.replace(site, kind)
    given = [perovskite, exchanged, Structure(Lattice.cubic(3.6), ["Si"], [[0, 0, 0]])]
    table = pd.DataFrame({"id": ["whole", "exchanged", "one element"]})
    found = judge_of("arrangement", "flow-mp20", same_formula=False).scores(Candidates(table, given), Serial())
    assert found[0] < min(0, found[1])
    assert np.isnan(found[2])


def test_a_surrogate_in_each_direction():
    made = candidates([4.1, 4.6])
    low, high, wanted = (
        judge_of(f"surrogate:band_gap:{goal}", "retrieval").scores(made, Serial()) for goal in ("low", "high", "3.5")
    )
    assert low == pytest.approx(-high)
    assert wanted == pytest.approx(np.abs(low - 3.5))
    assert judge_of("surrogate:e_form", "retrieval").goal == "low"


@pytest.mark.parametrize("model", ["retrieval", "flow-mp20", "vae-mp20", "diffusion-mp20", "random-symmetric"])
def test_every_generator(model):
    options = {} if model in ("retrieval", "random-symmetric") else {"steps": 3}
    made = sample(model, 2, candidates=3, rank_by="surrogate:e_form", options=options, executor=Serial())
    assert (len(made), len(made.rejected)) == (2, 4)
    assert made.table["index"].tolist() == sorted(made.table["index"])
    assert (made.table["index"] // 3).tolist() == [0, 1]
    assert made.table["rank_by"].unique().tolist() == ["surrogate:e_form"]


def test_structure_prediction_from_one_list(tmp_path):
    path = tmp_path / "wanted.csv"
    path.write_text("material_id,formula\na,CsCl\nb,BaTiO3\n")
    made = predict_structures("retrieval", path, candidates=3, rank_by="energy", executor=Serial())
    everyone = pd.concat([made.table, made.rejected])
    assert made.table["material_id"].tolist() == ["a", "b"]
    assert everyone["material_id"].value_counts().to_dict() == {"a": 3, "b": 3}
    lowest = everyone.groupby("material_id")["rank_score"].min()
    assert made.table.set_index("material_id")["rank_score"].to_dict() == lowest.to_dict()
    first = predict_structures("retrieval", path, executor=Serial())
    listed = [
        s for i, s in zip(everyone["index"], [*made.structures, *made.rejected_structures], strict=True) if i in (0, 3)
    ]
    assert {s.composition.reduced_formula for s in first.structures} == {"CsCl", "BaTiO3"}
    assert all(any(s.matches(one) for one in first.structures) for s in listed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"candidates": 3}, "not by what"),
        ({"rank_by": "energy"}, "one candidate is drawn"),
        ({"candidates": 2, "rank_by": "enrgy"}, "no judge"),
        ({"candidates": 2, "rank_by": "likelihood"}, "no likelihood"),
        ({"candidates": 2, "rank_by": "likelihood:flow-mp20"}, "one composition only"),
        ({"candidates": 2, "rank_by": "arrangement"}, "no likelihood"),
        ({"candidates": 2, "rank_by": "surrogate:band_gap"}, "does not say which values"),
        ({"candidates": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_drawn(change, said):
    with pytest.raises(ConfigError, match=said):
        matgen.sample("retrieval", 2, **change)
