"""The ladder: shares by rank, reasons on the way, learning from results, an equation of state by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from pools import perovskites
from pymatgen.core import Lattice, Structure
from rdkit import Chem
from rdkit.Chem import QED

from matgen.data.candidates import Candidates
from matgen.data.molecules import sketch
from matgen.errors import ConfigError, DataError
from matgen.execution import Serial
from matgen.optimize import optimize
from matgen.optimize.aims import Aim, Limit
from matgen.optimize.results import candidates_of, finished
from matgen.optimize.rungs.base import RUNGS, Rung, promoted
from matgen.optimize.rungs.bulk_modulus import GPA, fitted_modulus
from matgen.optimize.rungs.descriptors import Descriptors
from matgen.optimize.rungs.surrogate import Learned


def salts(n, values=None):
    symbols = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn"]
    structures = [
        Structure(
            Lattice.cubic(4 + i / 20), [symbols[i % 10], ["O", "S", "F", "Cl", "Se"][i // 10 % 5]], [[0] * 3, [0.5] * 3]
        )
        for i in range(n)
    ]
    table = pd.DataFrame({"id": [f"c{i}" for i in range(n)]})
    return Candidates(table if values is None else table.assign(e=values), structures)


def test_the_best_share_goes_on_and_the_others_know_why():
    left = promoted(salts(5, [3.0, 1.0, 2.0, np.nan, 5.0]), 0.4, Aim(property="e"), "relax")
    assert left.table["id"].tolist() == ["c1", "c2"]
    assert left.rejected["stage"].unique().tolist() == ["promotion"]
    assert left.rejected["reason"][0] == "place 3 of 5 by relax, e (3); 2 went on"
    with pytest.raises(ConfigError, match="gives no column"):
        promoted(salts(5), 0.4, Aim(property="e"), "relax")


def test_birch_murnaghan_gives_back_its_bulk_modulus():
    v0, b0, b1 = 40.0, 150.0 / GPA, 4.5
    volumes = v0 * np.linspace(0.94, 1.06, 7)
    x = (v0 / volumes) ** (2 / 3)
    energies = 9 * v0 * b0 / 16 * ((x - 1) ** 3 * b1 + (x - 1) ** 2 * (6 - 4 * x))
    assert fitted_modulus(volumes, energies) == pytest.approx(150.0, rel=1e-6)
    with pytest.raises(DataError, match="no minimum"):
        fitted_modulus(volumes, volumes * 1.0)


def test_a_learned_rung_prefers_what_promises():
    known = salts(50, [float(i % 10) for i in range(50)])
    known = known.with_columns({"feasible": [True] * 50})
    rung = Learned(promote=0.3, acquisition="upper_confidence_bound", kappa=0.0)
    fresh = salts(10)
    assert len(rung.climb(fresh, [Aim(property="e")], [], Serial())) == 10
    rung.learn(known, np.random.default_rng(0))
    kept = rung.climb(fresh, [Aim(property="e")], [Limit(property="e", high=8.0)], Serial())
    assert set(kept.table["id"]) <= {"c0", "c1", "c2", "c3", "c4"}
    assert len(kept) == 3


def test_from_constraints_to_the_bulk_modulus(tmp_path, perovskite):
    path = tmp_path / "perovskite.cif"
    perovskite.to(filename=str(path))
    rungs = ["constraints", {"single_point": {"promote": 0.5}}, {"relax": {"max_steps": 20}}, "hull", "bulk_modulus"]
    study = optimize(
        {"substitution": {"prototype": str(path), "elements": {"Sr": ["Ca", "Sr", "Ba"], "Ti": ["Ti", "Zr"]}}},
        {"ladder": {"rungs": rungs}},
        [{"property": "bulk_modulus", "goal": "maximise"}],
        limits=[{"property": "e_above_hull", "high": 0.05}],
        sampler="grid", evaluations=6, batch=6,
    )  # fmt: skip
    found = candidates_of(study)
    assert len(finished(study)) == 3
    assert found.rejected["stage"].tolist() == ["promotion"] * 3
    assert found.table["bulk_modulus"].between(120, 240).all()
    assert {"energy", "e_above_hull", "e_above_hull_unrelaxed", "relax_status"} <= set(found.table)


def test_unknown_rungs_are_refused():
    space = {"composition": {"elements": ["Na", "Cl"]}}
    with pytest.raises(ConfigError, match="no rung called 'relaxe'"):
        optimize(space, {"ladder": {"rungs": ["relaxe"]}}, [{"property": "energy"}])


LESSONS = []


@RUNGS.register("pupil")
@dataclass
class Pupil(Rung):
    """Notes how much was known at each lesson."""

    name = "pupil"
    learns = True

    def learn(self, known, rng):
        LESSONS.append(len(known))

    def climb(self, candidates, aims, limits, executor):
        return candidates


@pytest.mark.parametrize(("every", "known"), [(1, [0, 4, 8, 12]), (2, [0, 8])])
def test_results_teach_every_so_many_rounds(tmp_path, every, known):
    LESSONS.clear()
    perovskites(tmp_path / "pool.parquet")
    space, ladder = {"pool": {"source": str(tmp_path / "pool.parquet")}}, {"ladder": {"rungs": ["pupil"]}}
    optimize(space, ladder, [{"property": "value"}], sampler="random", evaluations=16, batch=4, retrain=every)
    assert list(LESSONS) == known


def test_the_learned_rung_is_another_once_it_learned_more():
    known = salts(50, [float(i % 10) for i in range(50)]).with_columns({"feasible": [True] * 50})
    opposite = salts(50, [-float(i % 10) for i in range(50)]).with_columns({"feasible": [True] * 50})
    rung, fresh = Learned(promote=0.3, acquisition="upper_confidence_bound", kappa=0.0), salts(10)
    kept = []
    for lesson in (known, opposite):
        rung.learn(lesson, np.random.default_rng(0))
        kept.append(set(rung.climb(fresh, [Aim(property="e")], [], Serial()).table["id"]))
    assert not kept[0] & kept[1]


def test_bonds_give_descriptors_and_refuse_what_is_no_molecule():
    texts = ["CCO", "c1ccccc1O", "CCCCCCCCCC"]
    structures = [*map(sketch, texts), salts(1).structures[0]]
    table = pd.DataFrame({"id": [str(i) for i in range(4)]})
    aims, limits = [Aim(property="qed", goal="maximise")], [Limit(property="logp", high=3.0)]
    made = Descriptors().climb(Candidates(table, structures), aims, limits, Serial())
    assert list(made.table["id"]) == ["0", "1", "2"]
    assert made.table["qed"].tolist() == pytest.approx([QED.qed(Chem.MolFromSmiles(text)) for text in texts])
    assert "tpsa" not in made.table
    assert made.table["logp"].tolist()[0] == pytest.approx(-0.0014, abs=1e-3)
    assert "periodic" in made.rejected["reason"].iloc[0]
    best = Descriptors(promote=0.5, by=aims[0]).climb(made, aims, limits, Serial())
    assert best.table["qed"].min() >= made.table["qed"].median()
    with pytest.raises(ConfigError, match="bonds do not give 'qde'"):
        Descriptors(properties=["qde"]).climb(made, aims, limits, Serial())
