"""Figures of the generators of molecules, as kept in ``molecules_generators.md``.

    python benchmarks/molecules_generators.py smiles --train TRAIN --reference TEST [--model smiles-moses] [--n 10000]
    python benchmarks/molecules_generators.py targets [--model smiles-moses] [--n 500]
    python benchmarks/molecules_generators.py fragments [--model smiles-moses] [--n 200]
    python benchmarks/molecules_generators.py space --model flow-qm9 --train TRAIN [--n 500] [--steps 100]

``TRAIN`` and ``TEST`` are tables with a ``smiles`` column. Novelty compares text with the rows of ``TRAIN``, which must
be canonical; ``train_canonical`` is the share of 1,000 rows that are.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rdkit import Chem

from matgen.data.molecules import parse_smiles
from matgen.evaluate.molecules import distribution_metrics, space_metrics
from matgen.execution import Pool, Serial
from matgen.generators.sampling import sample
from matgen.generators.sequence_gathering import descriptors
from matgen.generators.smiles_sampling import sample_smiles

if TYPE_CHECKING:
    from matgen.execution import Executor

WANTED = {"logp": (0.5, 2.5, 4.5), "qed": (0.6, 0.75, 0.9), "tpsa": (30.0, 60.0, 90.0), "molecular_weight": (260, 330)}
"""Values asked for, within what the training data have."""

FRAGMENTS = ("c1ccccc1*", "O=C(N*)c1ccc(*)cc1", "c1ccccc1*.C1CCNC1*")
"""One substituent, two substituents, a linker."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["smiles", "targets", "fragments", "space"])
    parser.add_argument("--model", default="smiles-moses")
    parser.add_argument("--train")
    parser.add_argument("--reference")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--compared", type=int, default=2000, help="Molecules of each set in distributions.")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print(f"{given.what} {given.model}, {platform.machine()}, {given.workers} workers, {datetime.now(UTC):%Y-%m-%d}")
    measures = {"smiles": _smiles, "targets": _targets, "fragments": _fragments, "space": _space}
    with Pool(given.workers) if given.workers > 1 else nullcontext(Serial()) as executor:
        print(json.dumps(measures[given.what](given, executor), indent=1))


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


def _space(given: argparse.Namespace, executor: Executor) -> dict[str, Any]:
    begin = time.perf_counter()
    made = sample(given.model, given.n, options={"steps": given.steps, "molecules": True}, executor=executor)
    seconds = time.perf_counter() - begin
    train = pd.read_csv(given.train)["smiles"].tolist() if given.train else []
    found = space_metrics(made.structures, train)
    error = (found["valid"] * (1 - found["valid"]) / found["n"]) ** 0.5
    return {"seconds": round(seconds, 1), "valid_95": round(1.96 * error, 3), **found}


if __name__ == "__main__":
    main()
