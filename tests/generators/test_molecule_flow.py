"""The flow on molecules: boxes, noise, rotations; the same code with crystals beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from rdkit import Chem

from matgen.data.batches import BOX, TrainingSet
from matgen.data.fixed import Fixed
from matgen.data.molecules import embed, is_flat, to_rdkit
from matgen.data.request import Request
from matgen.data.structures import from_batch, is_molecule, molecule
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.generators.base import GENERATORS, load_generator
from matgen.generators.dense import Crystals
from matgen.generators.diffusion import Diffusion
from matgen.generators.flow import Flow
from matgen.generators.molecule_box import (
    NOISE,
    aligned,
    bonds_apart,
    bonds_between,
    box_noise,
    random_rotations,
    turned,
    unboxed,
)
from matgen.generators.molecule_graphs import without_stereo
from matgen.generators.sampling import sample
from matgen.generators.spatial import as_written
from matgen.nn.transformer import FARTHEST
from matgen.runtime import Streams
from matgen.testing import check_generator
from matgen.training import Training, fit

TINY = {"width": 32, "layers": 2, "heads": 4, "channels": 8, "max_atoms": 12, "molecules": True}
QUICK = {"steps": 4}
ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def molecules():
    return [embed(smiles, 1) for smiles in ("C", "CO", "CCO", "C=O", "CN", "CC", "OCC=O", "C#N")]


@pytest.fixture(scope="module")
def mixed(molecules):
    return TrainingSet.build([*molecules, ROCK_SALT, ROCK_SALT.get_primitive_structure()], {})


def _ready(data: TrainingSet, kind: type[Flow | Diffusion] = Flow) -> Flow | Diffusion:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(**TINY)
    model.prepare(data)
    with torch.no_grad():  # zero-initialised gates would hide a broken block
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model.eval()


@pytest.fixture(scope="module", params=[Flow, Diffusion])
def alone(request, molecules):
    """A model that has seen molecules only, and its data."""
    data = TrainingSet.build(molecules, {})
    return _ready(data, request.param), data


def test_molecules_lie_in_boxes_with_their_distances(molecules):
    data = TrainingSet.build(molecules, {})
    assert data.isolated.all()
    for i, wanted in enumerate(molecules):
        batch = data.batch(torch.tensor([i]))
        assert not batch.pbc.any()
        assert torch.allclose(batch.frac.mean(0), torch.full((3,), 0.5), atol=1e-6)
        back = from_batch(_as_batch(batch.numbers.numpy(), batch.frac.numpy()))[0]
        assert back.species == wanted.species
        assert np.allclose(_distances(back), _distances(wanted), atol=1e-4)


def _as_batch(numbers, frac):
    from torch_geometric.data import Batch

    return Batch.from_data_list([unboxed(numbers, frac)])


def _distances(structure):
    positions = structure.cart_coords
    return np.linalg.norm(positions[:, None] - positions, axis=-1)


def test_noise_has_its_width_and_its_mean_in_the_middle():
    real = torch.ones(4000, 6, dtype=torch.bool)
    real[:, 5] = False
    noise = box_noise(torch.randn(4000, 6, 3, generator=torch.Generator().manual_seed(0)), real)
    inside = (noise[:, :5] - 0.5) * BOX
    assert inside.mean(1).abs().max() < 1e-4
    # Without the mean, 4 of 5 degrees of freedom are left.
    assert float(inside.square().mean()) == pytest.approx(NOISE**2 * 4 / 5, rel=0.02)


def test_rotations_are_proper_and_have_no_direction():
    turns = random_rotations(4000, torch.Generator().manual_seed(0))
    assert torch.allclose(turns @ turns.mT, torch.eye(3).expand(4000, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(turns), torch.ones(4000), atol=1e-5)
    assert turns.mean(0).abs().max() < 0.05


def test_bonds_and_how_many_lie_between_two_atoms(molecules):
    batch = TrainingSet.build(molecules, {}).batch(torch.tensor([2, 7]))  # ethanol and hydrogen cyanide
    x = Crystals.of(batch)
    bonded = bonds_between(x.numbers, x.frac, x.real)
    assert bonded.sum((1, 2)).tolist() == [2 * 8, 2 * 2]
    for one, found, real in zip((molecules[2], molecules[7]), bonds_apart(bonded), x.real, strict=True):
        wanted = Chem.GetDistanceMatrix(Chem.AddHs(to_rdkit(one)))
        inside = found[real][:, real].numpy()
        assert np.sort(inside, axis=None).tolist() == np.sort(wanted.clip(max=FARTHEST), axis=None).tolist()


def test_a_mirrored_molecule_is_told_from_its_bonds():
    right = embed("C[C@H](N)O", 1)
    wrong = molecule(right.atomic_numbers, right.cart_coords * [1, 1, -1])
    for geometry in (right, wrong):
        made = as_written("C[C@H](N)O", geometry)
        assert made.properties["smiles"] == right.properties["smiles"]
    assert as_written("CC(=O)N", right) == "its coordinates suggest other bonds than those written."


def test_alignment_finds_the_rotation():
    generator = torch.Generator().manual_seed(0)
    real = torch.ones(16, 7, dtype=torch.bool)
    data = box_noise(torch.randn(16, 7, 3, generator=generator), real)
    moved = turned(data, random_rotations(16, generator))
    assert torch.allclose(aligned(moved, data, real), data, atol=1e-5)
    mirrored = 1 - data  # no rotation undoes a reflection
    assert (aligned(mirrored, data, real) - data).abs().amax((1, 2)).min() > 1e-3


@torch.no_grad()
def test_crystals_and_molecules_in_one_batch_do_not_touch_each_other(mixed):
    model = _ready(mixed)
    together = _forward(model, mixed, torch.arange(len(mixed)))
    for i in range(len(mixed)):
        single = _forward(model, mixed, torch.tensor([i]))
        atoms = int(mixed.sizes[i])
        for whole, one in zip(together, single, strict=True):
            row, only = whole[i], one[0]
            row, only = (row[:atoms], only[:atoms]) if row.ndim == 2 else (row, only)
            assert torch.allclose(row, only, atol=1e-4)


def _forward(model, data, indices):
    batch = data.batch(indices)
    x = Crystals.of(batch)
    s = len(indices)
    cell = model.standardise(x.cell, x.real.sum(1)).masked_fill(batch.isolated[:, None], 0.0)
    t, given = torch.full((s,), 0.5), torch.zeros(s, dtype=torch.bool)
    group, targets = torch.zeros(s, dtype=torch.long), torch.zeros(s, 0)
    return model(x.numbers, x.frac, cell, x.real, t, given, group, targets, isolated=batch.isolated)


@torch.no_grad()
def test_network_sees_no_images_of_a_molecule(alone):
    """A molecule that is moved in its box, or whose box has its seam between the atoms, is the same."""
    model, data = alone
    batch = data.batch(torch.tensor([2]))
    x = Crystals.of(batch)
    state = (torch.full((1,), 0.5), torch.zeros(1, dtype=torch.bool), torch.zeros(1, dtype=torch.long))
    cell, isolated = torch.zeros(1, 6), torch.ones(1, dtype=torch.bool)
    results = [
        model(x.numbers, frac, cell, x.real, *state, torch.zeros(1, 0), isolated=isolated)
        for frac in (x.frac, x.frac + 0.1, (x.frac + 0.5) % 1.0)
    ]
    for other in results[1:]:
        assert torch.allclose(results[0][0], other[0], atol=1e-4)


def test_geometry_keeps_its_precision_where_networks_learn_in_bfloat16(alone):
    model, data = alone
    batch = data.batch(torch.arange(len(data)))
    full = model.loss(batch, torch.Generator().manual_seed(0))["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        short = model.loss(batch, torch.Generator().manual_seed(0))["loss"]
    assert float(short.detach()) == pytest.approx(float(full.detach()), rel=0.02)


def test_battery_on_molecules(alone):
    check_generator(
        alone[0], alone[1], elements=("H", "C", "O"), asked=({}, {"formula": "C2H6O"}, {"n_atoms": 6}), **QUICK
    )


def test_options_of_the_samplers_act_on_molecules(alone):
    model, _ = alone
    asked = Request(n=2, formula="C2H6O")
    plain = model.sample(asked, rng=Streams(0, "x"), **QUICK).frac
    options = ({"annealing": 0.0}, {"churn": 0.5}) if isinstance(model, Flow) else ({"sharpening": 0.0}, {"noise": 1.0})
    for option in options:
        made = model.sample(asked, rng=Streams(0, "x"), **QUICK, **option).frac
        assert (made - plain).abs().max() > 1e-5


def test_samples_are_molecules_as_asked(alone):
    model, _ = alone
    made = from_batch(model.sample(Request(n=3, formula="C2H6O"), rng=Streams(0, "x"), **QUICK))
    assert all(is_molecule(s) and s.composition.formula == "H6 C2 O1" for s in made)
    elements = {
        z for s in from_batch(model.sample(Request(n=20), rng=Streams(0, "x"), **QUICK)) for z in s.atomic_numbers
    }
    assert elements <= {1, 6, 7, 8}
    for asked in ({"formula": "C20H42"}, {"n_atoms": 40}, {"space_group": 225}):
        with pytest.raises(ConfigError):
            model.sample(Request(**asked), rng=Streams(0, "x"), **QUICK)


def test_fixed_atoms_keep_their_distances(alone, molecules):
    model, _ = alone
    ethanol = molecules[2]
    sites = [i for i, z in enumerate(ethanol.atomic_numbers) if z > 1]
    for asked in ({}, {"formula": "C2H6O"}, {"n_atoms": 10}):
        request = Request(n=3, fixed=Fixed.of(ethanol, sites), **asked)
        for made in from_batch(model.sample(request, rng=Streams(0, "x"), **QUICK)):
            assert list(made.atomic_numbers[:3]) == [6, 6, 8]
            assert np.allclose(_distances(made)[:3, :3], _distances(ethanol)[np.ix_(sites, sites)], atol=1e-3)
    for wrong in ({"formula": "CH4"}, {"n_atoms": 2}):
        with pytest.raises(ConfigError):
            model.sample(Request(fixed=Fixed.of(ethanol, sites), **wrong), rng=Streams(0, "x"), **QUICK)


@pytest.mark.parametrize("kind", [Flow, Diffusion])
def test_joint_model_draws_either(kind, mixed, tmp_path):
    model = _ready(mixed, kind)
    model.save(tmp_path)
    twin = load_generator(tmp_path)
    for kind in (True, False):
        made = from_batch(twin.sample(Request(n=4), rng=Streams(0, "x"), molecules=kind, **QUICK))
        assert all(is_molecule(s) is kind for s in made)
    assert not any(is_molecule(s) for s in from_batch(twin.sample(Request(n=2), rng=Streams(0, "x"), **QUICK)))


def test_molecules_need_a_model_for_them(mixed):
    with pytest.raises(ConfigError, match="the data hold molecules"):
        Flow(**{**TINY, "molecules": False}).prepare(mixed)
    with pytest.raises(ConfigError, match="learns no molecules"):
        GENERATORS.get("vae")(molecules=True)
    crystals = Flow(**{**TINY, "molecules": False})
    crystals.prepare(TrainingSet.build([ROCK_SALT], {}))
    with pytest.raises(ConfigError, match="has learned no molecules"):
        crystals.sample(Request(), rng=Streams(0, "x"), molecules=True, **QUICK)


@pytest.mark.parametrize("kind", [Flow, Diffusion])
def test_it_learns_one_molecule(kind, tmp_path):
    water = molecule([8, 1, 1], np.array([[0.0, 0, 0.119], [0, 0.763, -0.477], [0, -0.763, -0.477]]))
    data = TrainingSet.build([water] * 32, {})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(**{**TINY, "max_atoms": 3})
    model.prepare(data)
    settings = Training(steps=250, atoms=96, lr=3e-3, warmup=20, ema=0.99, precision="32-true")
    trained = fit(model, data, tmp_path, settings)
    made = from_batch(trained.sample(Request(n=30, formula="H2O"), rng=Streams(0, "x"), steps=30))
    bonds = [_distances(s)[s.atomic_numbers.index(8)].max() for s in made]
    assert np.median(bonds) == pytest.approx(0.96, abs=0.2)
    told = trained.geometries(["O"] * 20 + ["CC", "S", "C(("], rng=Streams(0, "x"), steps=30)
    found = [s for s in told if not isinstance(s, str)]
    assert len(found) > 10
    assert {s.properties["smiles"] for s in found} == {"O"}
    assert told[20:22] == [
        "8 atoms are more than the 3 that were learned from.",
        "no molecule with S was learned from.",
    ]
    assert "C((" in told[22]


def test_shipped_flow_lays_written_molecules_out():
    smiles = ["C", "CO", "CC=O", "c1ccccc1", "CC(=O)N", "OCC1CCO1", "N#CC1CC1", "CCOC"]
    found = load_generator("flow-qm9").geometries(smiles, rng=Streams(0, "x"))
    made = {text: s for text, s in zip(smiles, found, strict=True) if not isinstance(s, str)}
    assert len(made) >= 6
    assert all(without_stereo(s.properties["smiles"]) == without_stereo(text) for text, s in made.items())
    carbon_oxygen = [s.get_distance(0, 1) for text, s in made.items() if text == "CO"]
    assert carbon_oxygen == pytest.approx([1.41] * len(carbon_oxygen), abs=0.15)


def test_written_molecules_come_with_the_geometry_of_a_flow():
    made = sample("smiles-vae-qm9", 6, options={"conformers": "flow-qm9"}, executor=Serial())
    assert len(made) + len(made.rejected) == 6
    assert len(made) >= 3
    assert all(not is_flat(s) for s in made.structures)
    with pytest.raises(ConfigError, match="has learned no molecules"):
        sample("smiles-vae-qm9", 1, options={"conformers": "flow-mp20"}, executor=Serial())
