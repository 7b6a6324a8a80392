"""Figures of the generators of molecules, as kept in ``molecules_generators.md``.

    python benchmarks/molecules_generators.py smiles --train TRAIN --reference TEST [--model smiles-moses] [--n 10000]
    python benchmarks/molecules_generators.py targets [--model smiles-moses] [--n 500]
    python benchmarks/molecules_generators.py fragments [--model smiles-moses] [--n 200]
    python benchmarks/molecules_generators.py rings --reference TEST [--n 300]
    python benchmarks/molecules_generators.py space --model flow-qm9 --train TRAIN [--n 500] [--steps 100]
    python benchmarks/molecules_generators.py geometry [--conformers flow-qm9] [--settings annealing=0 ...] [--n 500]
    python benchmarks/molecules_generators.py latent --model smiles-vae-moses --reference TEST [--n 1000]
    python benchmarks/molecules_generators.py search --model smiles-vae-qm9 --molecules QM9 [--n 100]
    python benchmarks/molecules_generators.py joint --molecules QM9 --crystals TRAIN --held-out VAL --out FOLDER

``TRAIN`` and ``TEST`` are tables with a ``smiles`` column. Novelty compares text with the rows of ``TRAIN``, which must
be canonical; ``train_canonical`` is the share of 1,000 rows that are. ``space`` draws from a flow, or writes line
notation and finds conformers of it. ``joint`` takes ingested data sets; it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from rdkit import Chem, DataStructs
from scipy.stats import t

from matgen.data.batches import TrainingSet
from matgen.data.molecules import parse_smiles
from matgen.data.structures import read_structures, write_structures
from matgen.evaluate.evaluation import evaluate
from matgen.evaluate.interval import share, wilson
from matgen.evaluate.molecules import distribution_metrics, space_metrics
from matgen.execution import Pool, Serial
from matgen.features.molecules import morgan
from matgen.generators.base import load_generator
from matgen.generators.grammar import Grammar
from matgen.generators.language import MoleculeLanguage
from matgen.generators.molecule_graphs import without_stereo
from matgen.generators.notation import smiles_sequence
from matgen.generators.ring_limits import RingLimits
from matgen.generators.sampling import sample
from matgen.generators.sequence_gathering import descriptors
from matgen.generators.smiles_sampling import sample_smiles
from matgen.generators.training import train
from matgen.generators.vocabulary import Vocabulary, smiles_tokens
from matgen.optimize import optimize
from matgen.optimize.results import candidates_of
from matgen.runtime import Streams
from matgen.training import Training, stream

if TYPE_CHECKING:
    from matgen.execution import Executor
    from matgen.generators.base import Generator

WANTED = {"logp": (0.5, 2.5, 4.5), "qed": (0.6, 0.75, 0.9), "tpsa": (30.0, 60.0, 90.0), "molecular_weight": (260, 330)}
"""Values asked for, within what the training data have."""

FRAGMENTS = ("c1ccccc1*", "O=C(N*)c1ccc(*)cc1", "c1ccccc1*.C1CCNC1*")
"""One substituent, two substituents, a linker."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", choices=["smiles", "targets", "fragments", "rings", "space", "geometry", "latent", "search", "joint"]
    )
    parser.add_argument("--model", default="smiles-moses")
    parser.add_argument("--train")
    parser.add_argument("--reference")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--conformers", help="A flow that lays written molecules out, for space; a force field if not.")
    parser.add_argument("--settings", nargs="*", default=[], help="Of the sampler, NAME=VALUE,..., for geometry.")
    parser.add_argument("--tries", type=int, default=1, help="Draws of each molecule, for geometry.")
    parser.add_argument("--compared", type=int, default=2000, help="Molecules of each set in distributions.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--molecules", help="Data set, for joint.")
    parser.add_argument("--crystals", help="Data set, for joint.")
    parser.add_argument("--held-out", help="Data set of other crystals, for joint.")
    parser.add_argument("--epochs", type=int, default=16, help="Of each training, for joint.")
    parser.add_argument("--seeds", type=int, default=4, help="Of each training, for joint.")
    parser.add_argument("--out", type=Path, default=Path("joint"), help="Folder of the trainings, for joint.")
    given = parser.parse_args()
    print(f"{given.what} {given.model}, {platform.machine()}, {given.workers} workers, {datetime.now(UTC):%Y-%m-%d}")
    with Pool(given.workers) if given.workers > 1 else nullcontext(Serial()) as executor:
        print(json.dumps(MEASURES[given.what](given, executor), indent=1))


def _smiles(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    sample_smiles(given.model, given.workers, seed=1, executor=executor)  # load before the clock runs
    begin, cpu = time.perf_counter(), time.process_time()
    made = sample_smiles(given.model, given.n, executor=executor)["smiles"].tolist()
    found: dict[str, Any] = {
        "seconds": round(time.perf_counter() - begin, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),  # of this process: all of it with one worker
        "valid": float(np.mean([Chem.MolFromSmiles(text) is not None for text in made])),
        "unique": len(set(made)) / len(made),
    }
    train = pd.read_csv(given.train)["smiles"].tolist()
    some = train[:: max(1, len(train) // 1000)]
    found["train_canonical"] = float(np.mean([Chem.CanonSmiles(text) == text for text in some]))
    known = set(train)
    found["novel"] = float(np.mean([text not in known for text in set(made)]))
    if given.reference:
        reference = pd.read_csv(given.reference)["smiles"].tolist()[: given.compared]
        found |= distribution_metrics(list(dict.fromkeys(made))[: given.compared], reference)
    return found


def _targets(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    functions, found = descriptors(), {}
    free = sample_smiles(given.model, given.n, executor=executor)["smiles"]
    for name, values in WANTED.items():
        spread = [functions[name](parse_smiles(s)) for s in free]
        found[name] = {"free": [round(float(np.mean(spread)), 3), round(float(np.std(spread)), 3)]}
        for value in values:
            made = sample_smiles(given.model, given.n, target={name: value}, executor=executor)["smiles"]
            got = np.array([functions[name](parse_smiles(s)) for s in made])
            found[name][str(value)] = {
                "mean": round(float(got.mean()), 3),
                "error": round(float(np.abs(got - value).mean()), 3),
                "error_free": round(float(np.abs(np.array(spread) - value).mean()), 3),
            }
    return found


def _fragments(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    settings = Chem.AdjustQueryParameters.NoAdjustments()
    settings.makeDummiesQueries = True
    found = {}
    for fragment in FRAGMENTS:
        made = sample_smiles(given.model, given.n, options={"fragment": fragment}, executor=executor)["smiles"]
        parts = [Chem.AdjustQueryProperties(Chem.MolFromSmiles(part), settings) for part in fragment.split(".")]
        molecules = [Chem.MolFromSmiles(text) for text in made]
        kept = np.mean([m is not None and all(m.HasSubstructMatch(part) for part in parts) for m in molecules])
        found[fragment] = {"kept": float(kept), "different": made.nunique() / len(made), "first": made.head(3).tolist()}
    return found


def _rings(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    """Share of molecules that keep a limit of the size of rings and whose SMILES can be written under it."""
    words = Vocabulary(smiles_tokens())
    molecules = [Chem.MolFromSmiles(text) for text in pd.read_csv(given.reference)["smiles"].tolist()[: given.n]]
    found = {}
    for largest in (6, 7, 8):
        within = [m for m in molecules if max(map(len, m.GetRingInfo().AtomRings()), default=0) <= largest]
        found[str(largest)] = share([_writable(words, smiles_sequence(m), largest) for m in within])
    return found


def _writable(words: Vocabulary, tokens: list[str], largest: int) -> bool:
    length = len(tokens) + 60
    grammar = Grammar(words, 1, length, rings=RingLimits(1, length, largest))
    for number in [*words.encode(tokens), 0]:
        if not grammar.mask()[0, number]:
            return False
        grammar.advance(np.array([number]))
    return True


def _space(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    written = isinstance(load_generator(given.model), MoleculeLanguage)
    options = {"conformers": given.conformers or True} if written else {"steps": given.steps, "molecules": True}
    begin = time.perf_counter()
    made = sample(given.model, given.n, options=options, executor=executor)
    seconds = time.perf_counter() - begin
    train = pd.read_csv(given.train)["smiles"].tolist() if given.train else []
    found = space_metrics(made.structures, train)
    # A molecule without a conformer is drawn, and fails in everything.
    finished = {name: found[name] * len(made) / given.n for name in ("molecule_stable", "valid")}
    found = {**found, **finished, "n": given.n, "without_conformer": given.n - len(made)}
    intervals = {f"{name}_95": wilson(round(value * given.n), given.n) for name, value in finished.items()}
    route = f"written molecules, laid out by {given.conformers or 'a force field'}" if written else "flow alone"
    return {"route": route, "seconds": round(seconds, 1)} | {
        **found,
        **intervals,
    }


def _geometry(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    """Share of written molecules to which a flow gives a geometry with their bonds, by setting of its sampler."""
    texts = sample_smiles("smiles-vae-qm9", given.n, 1, executor=executor)["smiles"].tolist()
    flow, found = load_generator(given.conformers or "flow-qm9"), {}
    for setting in ["", *given.settings]:
        options = {key: float(value) for key, value in (pair.split("=") for pair in setting.split(",") if pair)}
        made = flow.geometries(texts, rng=Streams(1, "geometry"), tries=given.tries, **options)
        found[setting or "default"] = share([not isinstance(one, str) for one in made])
    return found


def _latent(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    """Reconstruction of molecules that were not learned from, of lines between them, and of small steps around them."""
    model = load_generator(given.model)
    texts = [without_stereo(text) for text in pd.read_csv(given.reference)["smiles"].tolist()[: given.n]]
    rng, codes = Streams(0, model.name), model.encode_smiles(texts)
    made = model.decode_smiles(codes, rng=rng)
    found = {"molecules": len(texts), "greedy": _alike(texts, made)}
    found["chance"] = _alike(texts, made[1:] + made[:1])
    predicted, functions = model.properties(codes), descriptors()
    for name, values in predicted.items():
        true = np.array([functions[name](parse_smiles(text)) for text in texts])
        error = np.abs(values.numpy() - true)
        found[f"{name}_from_code"] = {
            "error": float(error.mean()),
            "error_of_mean": float(np.abs(true - true.mean()).mean()),
        }
    spread = codes.std(0)
    for step in (0.1, 0.3, 1.0):
        moved = codes + step * spread * torch.randn(codes.shape, generator=torch.Generator().manual_seed(1))
        found[f"moved_{step}"] = _alike(made, model.decode_smiles(moved, rng=rng))
    lines = [model.between(codes[i], codes[i + 1], 9) for i in range(0, min(200, len(codes)) - 1, 2)]
    along = model.decode_smiles(torch.cat(lines), rng=rng)
    ends = [along[i : i + 9] for i in range(0, len(along), 9)]
    found["between"] = {
        "different_on_a_line_of_9": float(np.mean([len(set(line)) for line in ends])),
        "neighbours_alike": float(np.mean([_alike(line[:-1], line[1:])["tanimoto"] for line in ends])),
        "ends_alike": float(np.mean([_alike(line[:1], line[-1:])["tanimoto"] for line in ends])),
    }
    return found


def _alike(wanted: list[str], made: list[str]) -> dict[str, Any]:
    """Share of equal molecules, and mean Tanimoto similarity of each pair (Morgan, radius 2, 2,048 bits)."""
    generator = morgan(2048, 2)
    prints = [[generator.GetFingerprint(parse_smiles(text)) for text in texts] for texts in (wanted, made)]
    pairs = [DataStructs.TanimotoSimilarity(a, b) for a, b in zip(*prints, strict=True)]
    exact = sum(a == b for a, b in zip(wanted, made, strict=True))
    return {
        "exact": round(exact / len(wanted), 4),
        "exact_95": [round(bound, 4) for bound in wilson(exact, len(wanted))],
        "tanimoto": round(float(np.mean(pairs)), 4),
    }


SEARCHED: dict[str, dict[str, Any]] = {
    "qed": {"property": "qed", "goal": "maximise"},
    "logp": {"property": "logp", "goal": "maximise"},
}
GUIDED = {"surrogate": {"model": "gaussian_process", "inputs": "coordinates"}}


def _search(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    """Mean of the ten best of n evaluations: latent space guided and at random, molecules drawn, and known ones."""
    table, structures = (rows[:2000] for rows in read_structures(Path(given.molecules) / "structures.parquet"))
    some = Path(tempfile.mkdtemp()) / "some.parquet"
    write_structures(some, table[["id"]], structures)
    space = {"latent": {"source": str(some), "model": given.model, "dimensions": 16, "most": 2000}}
    judge = {"ladder": {"rungs": ["descriptors"]}}
    functions, found = descriptors(), {}
    known = table["smiles"].tolist()
    for name, aim in SEARCHED.items():
        best: dict[str, list[float]] = {}
        for seed in range(3):
            for how, sampler in {"guided": GUIDED, "random": "random"}.items():
                study = optimize(space, judge, [aim], sampler=sampler, evaluations=given.n, batch=10, seed=seed)
                # Optuna minimises, so the values of what is maximised are as they were or negated: read the property.
                values = candidates_of(study).table[name].to_numpy(dtype=float)
                best.setdefault(how, []).append(_ten(values))
            drawn = set(sample_smiles(given.model, given.n, seed, executor=executor)["smiles"])
            best.setdefault("prior", []).append(_ten([functions[name](parse_smiles(text)) for text in drawn]))
            chosen = np.random.default_rng(seed).choice(known, given.n, replace=False)
            best.setdefault("known", []).append(_ten([functions[name](parse_smiles(text)) for text in chosen]))
        found[name] = {how: [round(value, 3) for value in values] for how, values in best.items()}
    return found


def _ten(values: Any) -> float:
    return float(np.sort(np.asarray(values, dtype=float))[::-1][:10].mean())


JOINT = {"width": 128, "layers": 4, "heads": 4, "channels": 16, "molecules": True}
"""The network of all three trainings."""
LEARNED, UNSEEN, ATOMS = {"molecules": 3_000, "crystals": 6_000}, 1_500, 1_024
"""Structures of each kind to learn from and to measure losses on, and atoms in a batch."""


def _joint(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    """The same network on molecules, on crystals, and on both; each structure is seen equally often in all.

    Every training is repeated from other seeds, since two trainings differ by more than the unseen structures tell.
    """
    given.out.mkdir(parents=True, exist_ok=True)
    sets = _joint_sets(given)
    found: dict[str, Any] = {"epochs": given.epochs, "sizes": {name: len(data) for name, data in sets.items()}}
    for seed in range(given.seeds):
        models = {name: _joint_training(given, name, seed) for name in JOINT_SOURCES}
        for kind, data in sets.items():
            measured = found.setdefault(kind, {})
            for label, name in {"alone": kind, "both": "both"}.items():
                values = {field: float(v.mean()) for field, v in _losses(models[name], data).items()}
                values["valid"] = _validity(given.out / f"{name}-{seed}", kind, given.n, given.steps, executor)
                for field, value in values.items():
                    measured.setdefault(field, {"alone": [], "both": []})[label].append(value)
    for kind in sets:
        for values in found[kind].values():
            difference = np.subtract(values["both"], values["alone"])
            values["difference"] = float(difference.mean())
            if difference.std():  # molecules have no cell
                values["difference_95"] = [float(x) for x in t_interval(difference)]
    return found


JOINT_SOURCES = {"molecules": ["molecules"], "crystals": ["crystals"], "both": ["molecules", "crystals"]}


def _joint_training(given: argparse.Namespace, name: str, seed: int) -> Generator:
    data = [given.out / f"{source}.parquet" for source in JOINT_SOURCES[name]]
    atoms = sum(len(s) for path in data for s in read_structures(path)[1])
    steps = given.epochs * round(atoms / ATOMS)
    settings = Training(
        steps=steps, atoms=ATOMS, lr=1e-3, warmup=100, ema=0.995, save_every=200, seed=seed, precision="bf16-mixed"
    )
    return train(data, given.out / f"{name}-{seed}", config=JOINT, settings=settings, max_atoms=29, validation=0.0)


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of a few repetitions (Student's t)."""
    return t.interval(0.95, len(values) - 1, values.mean(), values.std(ddof=1) / len(values) ** 0.5)


def _joint_sets(given: argparse.Namespace) -> dict[str, TrainingSet]:
    """Write what is learned from beside the trainings; returns what is not."""
    unseen = {}
    for kind, source in {"molecules": given.molecules, "crystals": given.crystals}.items():
        table, structures = read_structures(Path(source) / "structures.parquet")
        order = np.random.default_rng(0).permutation(len(structures))
        learned = order[: LEARNED[kind]]
        write_structures(given.out / f"{kind}.parquet", table.iloc[learned][["id"]], [structures[i] for i in learned])
        if kind == "molecules":
            held_out = [structures[i] for i in order[LEARNED[kind] : LEARNED[kind] + UNSEEN]]
        else:
            held_out = read_structures(Path(given.held_out) / "structures.parquet")[1][:UNSEEN]
        unseen[kind] = TrainingSet.build(held_out, {})
    return unseen


@torch.no_grad()
def _losses(model: Generator, data: TrainingSet, size: int = 50, draws: int = 4) -> dict[str, np.ndarray]:
    """Losses by field of each batch (means over ``draws`` noises, which are the same for every model)."""
    rows: list[dict[str, float]] = []
    for k, indices in enumerate(torch.arange(len(data)).split(size)):
        drawn = [model.loss(data.batch(indices), stream(draw, k)) for draw in range(draws)]
        rows.append({name: float(np.mean([float(loss[name]) for loss in drawn])) for name in drawn[0]})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _validity(model: Path, kind: str, n: int, steps: int, executor: Executor) -> float:
    """Share of samples that are valid: crystals as drawn, molecules where the flow lays out given bonds."""
    if kind == "crystals":
        made = sample(str(model), n, options={"steps": steps, "molecules": False}, executor=executor)
        return float(evaluate(made, executor=executor)[0]["validity"]["share"])
    made = sample("smiles-vae-qm9", n, options={"conformers": str(model)}, executor=executor)
    return len(made) / n


MEASURES = {
    "smiles": _smiles,
    "targets": _targets,
    "fragments": _fragments,
    "rings": _rings,
    "space": _space,
    "geometry": _geometry,
    "latent": _latent,
    "search": _search,
    "joint": _joint,
}

if __name__ == "__main__":
    main()
