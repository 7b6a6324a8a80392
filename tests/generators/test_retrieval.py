"""The retrieval generator: the battery, and substitutions a chemist would make."""

from __future__ import annotations

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from matgen.constraints.specification import build_constraints
from matgen.data.request import Request
from matgen.data.structures import from_batch, write_structures
from matgen.data.symmetry import space_group_number
from matgen.errors import ConfigError
from matgen.generators.retrieval import Retrieval
from matgen.runtime import Streams
from matgen.testing import check_generator


@pytest.fixture(scope="module")
def prototypes() -> Retrieval:
    return Retrieval()


def _draw(generator, seed=0, constraints=(), **asked):
    return from_batch(generator.sample(Request(**asked), rng=Streams(seed, "retrieval"), constraints=constraints))


def test_battery(prototypes):
    check_generator(prototypes, n=3)


def test_fluoride_perovskite_from_the_oxide(perovskite):
    (made,) = _draw(Retrieval.from_structures([perovskite]), formula="KMgF3")
    assert made.formula == "K1 Mg1 F3"
    assert StructureMatcher(scale=True).fit_anonymous(made, perovskite)
    # K takes the large site of Sr, Mg the octahedral one of Ti.
    assert min(
        made.get_distance(i, j)
        for i in range(5)
        for j in range(5)
        if made[i].specie.symbol == "Mg" != made[j].specie.symbol
    ) == pytest.approx(made.lattice.a / 2, rel=1e-3)
    assert made.lattice.a == pytest.approx(3.99, rel=0.08)


def test_lattice_constant_of_potassium_bromide_from_rock_salt(rocksalt):
    (made,) = _draw(Retrieval.from_structures([rocksalt]), formula="KBr")
    assert made.volume * 4 == pytest.approx(6.60**3, rel=0.12)


def test_answers_to_a_formula_are_a_ranking(prototypes):
    five, ten = _draw(prototypes, n=5, formula="SrTiO3"), _draw(prototypes, n=10, seed=9, formula="SrTiO3")
    assert five == ten[:5]
    first = five[0]
    assert StructureMatcher().fit(first, five[1]) is False


def test_a_larger_cell_on_request(rocksalt):
    (made,) = _draw(
        Retrieval.from_structures([rocksalt.make_supercell([2, 1, 1], in_place=False)]), formula="KBr", n_atoms=4
    )
    assert made.formula == "K2 Br2"


def test_library_of_a_data_set(tmp_path, perovskite, rocksalt):
    import pandas as pd

    table = pd.DataFrame({"id": ["a", "b"], "e_above_hull": [0.0, 0.01]})
    write_structures(tmp_path / "structures.parquet", table, [perovskite, rocksalt])
    generator = Retrieval(library=str(tmp_path))
    assert _draw(generator, formula="BaZrO3")[0].formula == "Ba1 Zr1 O3"
    with pytest.raises(ConfigError, match="no template for Al2O3"):
        _draw(generator, formula="Al2O3")


def test_samples_without_a_formula_are_new_neutral_and_allowed(prototypes):
    masks = build_constraints([{"elements": {}}], role="mask")
    drawn = _draw(prototypes, n=20, constraints=masks)
    known = prototypes.library.compositions
    (neutral,) = build_constraints(["charge_neutral"])
    assert neutral.check(drawn).passed.mean() > 0.9
    assert masks[0].check(drawn).passed.all()
    for structure in drawn:
        counts = structure.composition.reduced_composition
        assert tuple(sorted((e.Z, round(n)) for e, n in counts.items())) not in known


def test_the_space_group_holds_at_the_narrow_tolerance_whatever_the_library():
    cubic = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]]
    )
    nearly = cubic.copy()
    nearly.translate_sites([1], [0.008, 0.0, 0.0])  # 0.03 Å: cubic at 0.1 Å, tetragonal at 0.01 Å
    generator = Retrieval.from_structures([nearly])
    with pytest.raises(ConfigError, match="no template"):
        _draw(generator, n=2, space_group=221)
    with pytest.raises(ConfigError, match="no template"):
        _draw(generator, formula="BaZrO3", space_group=221)
    assert {space_group_number(s, 0.01) for s in _draw(generator, n=2, space_group=99)} == {99}
    exact = _draw(Retrieval.from_structures([cubic]), n=3, formula="BaZrO3", space_group=221)
    assert [space_group_number(s, 0.01) for s in exact] == [221] * 3


def test_requests_that_no_template_fits_are_refused(prototypes):
    with pytest.raises(ConfigError, match="no template"):
        _draw(prototypes, n_atoms=19, space_group=230)
    with pytest.raises(ConfigError, match="no such data set"):
        Retrieval(library="nowhere")
    with pytest.raises(ConfigError, match="does not allow"):
        _draw(
            prototypes,
            formula="PbTiO3",
            constraints=build_constraints([{"elements": {"forbidden": ["Pb"]}}], role="mask"),
        )


def test_required_elements_get_a_slot_and_wishes_join_the_request(prototypes):
    required = build_constraints([{"required_elements": {"required": ["O", "Ti"]}}], role="mask")
    batch = prototypes.sample(Request(n=6), rng=Streams(0, "retrieval"), constraints=required)
    made = from_batch(batch)
    assert all(required[0].check(made).passed)
    assert len({s.composition.reduced_formula for s in made}) > 3
    assert (batch.attempts >= 1).all()
    system = build_constraints([{"chemical_system": {"system": "Li-Mn-O"}}], role="mask")
    assert all(system[0].check(_draw(prototypes, n=3, constraints=system)).passed)
    few = build_constraints([{"n_atoms": {"low": 4, "high": 6}}], role="mask")
    assert all(few[0].check(_draw(prototypes, n=3, constraints=few)).passed)
