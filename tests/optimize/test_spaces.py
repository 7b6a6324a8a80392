"""Spaces: compositions on the simplex, substitutions, conditions, latent codes, pools of one prototype."""

from __future__ import annotations

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from pools import measure
from pymatgen.core import Composition, Lattice, Structure

from matgen.data.candidates import Candidates
from matgen.data.structures import write_structures
from matgen.errors import ConfigError
from matgen.generators.base import shipped_models
from matgen.optimize import optimize
from matgen.optimize.claims import REASON
from matgen.optimize.results import evaluations, finished
from matgen.optimize.spaces.base import Proposal
from matgen.optimize.spaces.composition import CompositionSpace, nearest_counts
from matgen.optimize.spaces.conditions import Conditions
from matgen.optimize.spaces.latent import Latent, decode
from matgen.optimize.spaces.pool import Pool, aligned, site_components
from matgen.optimize.spaces.substitution import Substitution

VOLUME = [{"property": "volume"}]


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_every_point_of_the_simplex_is_a_formula_within_its_bounds(weights):
    space = CompositionSpace(["Li", "Ti", "O", "N"], one_of=["O", "N"], required=["Ti"], max_atoms=9, most=3)
    formula = Composition(space.formula(np.array(weights)))
    amounts = formula.get_el_amt_dict()
    assert "Ti" in amounts
    assert ("O" in amounts) != ("N" in amounts)
    assert len(amounts) <= 3


def test_nearest_counts_by_hand():
    assert nearest_counts(np.array([0.2, 0.2, 0.6]), 10).tolist() == [1, 1, 3]
    assert nearest_counts(np.array([0.34, 0.66]), 6).tolist() == [1, 2]


def test_chemistry_is_a_constraint():
    space = CompositionSpace(["Na", "Cl", "O"])
    assert max(space.violations("NaCl").values()) <= 0
    assert space.violations("NaCl3")["charge neutrality"] > 0


def test_infeasible_compositions_are_told_but_not_evaluated():
    space = {"composition": {"elements": ["Na", "K", "Cl"], "max_atoms": 6, "most": 3, "config": {"ranker": "none"}}}
    study = optimize(space, measure, VOLUME, sampler="random", evaluations=4, seed=1)
    refused = [t for t in study.trials if t.state == TrialState.PRUNED and t.user_attrs[REASON].startswith("not eval")]
    assert refused
    assert all(max(t.constraints.values()) > 0 for t in refused)
    assert all(max(t.constraints.values()) <= 0 for t in finished(study))


def test_substitution(tmp_path, perovskite):
    path = tmp_path / "perovskite.cif"
    perovskite.to(filename=str(path))
    space = Substitution(str(path), {"Sr": ["Ca", "Ba"], "Ti": ["Ti", "Zr"]})
    assert space.violations(["Ba", "Zr", "O"]) == {"distinct elements": 0.0, "charge neutrality": 0.0}
    assert space.violations(["K", "Na", "O"])["charge neutrality"] > 0
    assert space.violations(["Ba", "Ba", "O"])["distinct elements"] == 1
    study = optimize(space, measure, VOLUME, sampler="grid", evaluations=10)
    formulas = {t.user_attrs["facts"]["formula"] for t in finished(study)}
    assert formulas == {"CaTiO3", "BaTiO3", "CaZrO3", "BaZrO3"}
    assert min(finished(study), key=lambda t: t.values[0]).user_attrs["facts"]["formula"] == "CaTiO3"
    with pytest.raises(ConfigError, match="holds no Pb"):
        Substitution(str(path), {"Pb": ["Ca"]}).check()


def test_conditions_of_a_generator():
    space = {"conditions": {"model": "flow-mp20", "target": {"band_gap": [0.0, 3.0]}, "fixed": {"steps": 4}}}
    study = optimize(space, measure, VOLUME, sampler="qmc", evaluations=4, batch=4, seed=0)
    assert len(study.trials) >= 4
    assert all(0 <= t.params["target band_gap"] <= 3 for t in study.trials)
    with pytest.raises(ConfigError, match="cannot honour"):
        optimize({"conditions": {"model": "vae-mp20", "space_group": [225]}}, measure, VOLUME)


@pytest.mark.skipif("vae-mp20" not in shipped_models("generator"), reason="no generator with a latent space is shipped")
def test_latent_space_of_a_generator(tmp_path, textbook):
    path = tmp_path / "known.parquet"
    values = range(len(textbook))
    write_structures(path, pd.DataFrame({"id": [f"k{i}" for i in values], "good": values}), textbook)
    space = Latent(str(path), dimensions=3, best_by="good", top=3, decoding={"steps": 4})
    assert max(space.violations(space.good[0]).values()) <= 0
    assert space.violations(space.good[0] + 9.0)["trust region"] > 0
    assert space.violations(np.full(3, 9.0))["prior density"] > 0
    settings = {"surrogate": {"model": "gaussian_process", "startup": 3, "retrain": 2}}
    study = optimize(space, measure, VOLUME, sampler=settings, evaluations=6, batch=3, seed=0)
    assert finished(study)
    assert all(max(t.constraints.values()) <= 0 for t in finished(study))


class Near(Latent):
    """Latent space of eight dimensions whose codes are lattice constants, so that no generator is needed."""

    def check(self):
        points = np.random.default_rng(0).normal(size=(200, 8))
        self.__dict__["_fitted"] = (np.zeros(8), np.eye(8), np.ones(8), points, points[:5])

    def identity(self):
        return None

    def propose(self, trial, taken):
        proposal = super().propose(trial, taken)
        return Proposal(proposal.item, str(trial.number), proposal.constraints)

    def realise(self, items, ids, executor):
        cells = [Structure(Lattice.cubic(4.0 + abs(item["point"][0])), ["Na"], [[0, 0, 0]]) for item in items]
        return Candidates(pd.DataFrame({"id": list(ids)}), cells)


@pytest.mark.parametrize("sampler", ["random", "tpe", "cma-es", {"surrogate": {"startup": 20}}])
def test_every_sampler_starts_inside_the_trust_region_and_stays_supplied(sampler):
    space = Near("", trust=1.0)
    study = optimize(space, measure, VOLUME, sampler=sampler, evaluations=32, batch=8, seed=0)
    assert all(max(t.constraints.values()) <= 0 for t in study.trials[:16])
    assert evaluations(study) == 32


@pytest.mark.skipif("vae-mp20" not in shipped_models("generator"), reason="no generator with a latent space is shipped")
def test_a_structure_is_a_function_of_its_code():
    codes = np.random.default_rng(0).normal(size=(2, 64)).tolist()
    items = [{"code": c, "seed": 0, "model": "vae-mp20", "options": {"steps": 3}} for c in (*codes, codes[0])]
    together, alone = decode(items), decode(items[1:2])[0]
    # Rows of a batch, and batches, round differently on some processors.
    for one, other, atol in ((together[0], together[2], 0.01), (together[1], alone, 0.02)):
        assert one["numbers"] == other["numbers"]
        assert np.allclose(one["cell"], other["cell"], atol=atol)
    assert np.allclose(together[0]["frac"], together[2]["frac"], atol=0.03)
    assert len(together[0]["frac"]) != len(together[1]["frac"]) or not np.allclose(
        together[0]["frac"], together[1]["frac"], atol=0.1
    )


def test_a_model_learns_from_conditions():
    space = Conditions(
        model="flow-mp20", target={"band_gap": (0.0, 3.0)}, n_atoms=[4, 8], chemical_system=["Na-Cl", "Mg-O"],
        options_range={"annealing": (0.0, 8.0)},
    )  # fmt: skip
    options = space.options((), 200, np.random.default_rng(0))
    described = space.describe([option.item for option in options])
    assert described.shape == (200, space.describe([options[0].item]).shape[1])
    assert set(options[0].params) == {"target band_gap", "n_atoms", "chemical_system", "annealing"}
    assert described[:, -2] * 3.0 == pytest.approx([o.params["target band_gap"] for o in options])
    trial = optuna.create_study().ask()
    proposed = space.propose(trial, ())
    assert trial.params.keys() == options[0].params.keys()
    assert space.describe([proposed.item]).shape == (1, described.shape[1])


def test_a_model_chooses_conditions():
    space = {"conditions": {"model": "random-symmetric", "n_atoms": [1, 2, 3, 4, 6, 8]}}
    settings = {"surrogate": {"model": "gaussian_process", "startup": 8, "retrain": 4}}
    aims = [{"property": "volume", "goal": "maximise"}]
    study = optimize(space, measure, aims, sampler=settings, evaluations=24, batch=4, seed=0)
    sizes = [t.params["n_atoms"] for t in study.trials]
    assert np.mean(sizes[-8:]) > np.mean(sizes[:8])


def test_prototypes_are_aligned_up_to_a_shift(perovskite):
    shifted = Structure(
        perovskite.lattice, perovskite.species[::-1], perovskite.frac_coords[::-1] + np.array([0.3, 0, 0])
    )
    assert aligned([perovskite, shifted]).tolist() == [[38, 22, 8, 8, 8]] * 2


def test_other_numbers_of_atoms_share_no_prototype(perovskite, rocksalt):
    assert aligned([perovskite, rocksalt]) is None


def test_coordinates_of_a_prototype_keep_its_sites_apart(tmp_path):
    import pools

    path = tmp_path / "pool.parquet"
    pools.perovskites(path)
    space = Pool(str(path), "latent", 6)
    names = [name.split("-") for name in space.ids]
    site_a = {tuple(point[:3].round(9)) for point, (a, _) in zip(space.points, names, strict=True) if a == "Cs"}
    site_b = {tuple(point[3:].round(9)) for point, (_, b) in zip(space.points, names, strict=True) if b == "Ta"}
    assert space.points.shape == (225, 6)
    assert len(site_a) == len(site_b) == 1
    assert len({tuple(point.round(9)) for point in space.points}) == 225


def test_sites_of_one_anion_count_as_one():
    rng = np.random.default_rng(0)
    metals = rng.choice([20, 22, 38, 40, 56, 72], size=(40, 2))
    anions = np.full((40, 3), 8)
    anions[::4, 0] = anions[1::4, 1] = anions[2::4, 2] = 7
    points = site_components(np.concatenate([metals, anions], axis=1), 8)
    swapped = site_components(np.concatenate([metals, anions[:, [1, 2, 0]]], axis=1), 8)
    assert points == pytest.approx(swapped)
    assert site_components(np.full((5, 2), 8), 4).shape == (5, 0)
