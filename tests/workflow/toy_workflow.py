"""A small, fast workflow in a user's own file: real stages, shards and folders, toy chemistry."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from matgen.data.candidates import Candidates
from matgen.runtime import Streams, content_id
from matgen.workflow.config import WORKFLOWS, Count, LocalPath, Section, Workflow
from matgen.workflow.stage import Stage


def measure(items, slow, journal):
    """Energy of items; even draws of 7 fail."""
    if journal:
        with Path(journal).open("a") as file:
            file.write("".join(f"{item['index']}\n" for item in items))
    time.sleep(slow * len(items))
    if any(item["index"] == 7 for item in items):
        raise ValueError("seven is unlucky")
    return [{"energy": np.sin(item["size"]) + item["index"] / 7} for item in items]


class Measure(Section):
    slow: float = 0.0
    shard: Count = 3
    journal: str | None = None
    reads: bool = False


@WORKFLOWS.register("toy")
class Toy(Workflow):
    workflow: str = "toy"
    n: Count = 20
    top: Count = 5
    library: LocalPath | None = None
    measure: Measure = Measure()

    def stages(self):
        files = (self.library,) if self.library else ()
        reads = ("draw",) if self.measure.reads else ()
        drawing = {"seed": self.seed, "n": self.n}
        return [
            Stage(1, "draw", self._draw, drawing, files=files),
            Stage(2, "measure", self._measure, {"journal": self.measure.journal}, ("draw",), reads),
            Stage(4, "choose", self._choose, {"top": self.top}, ("measure",)),
        ]

    def finish(self, folder, done):
        Candidates.read(done["choose"]).write(folder)
        return ["candidates.parquet", "rejected.parquet"]

    def _draw(self, work):
        streams = Streams(self.seed, "toy").many(self.n)
        sizes = [rng.uniform(3, 6) for rng in streams]
        structures = [Structure(Lattice.cubic(a), ["Po"], [[0, 0, 0]]) for a in sizes]
        ids = [content_id("toy", self.seed, i) for i in range(self.n)]
        table = pd.DataFrame({"id": ids, "index": range(self.n), "size": sizes})
        Candidates(table, structures).write(work.folder)
        return {"model": "toy"}

    def _measure(self, work):
        candidates = work.candidates("draw")
        function = partial(measure, slow=self.measure.slow, journal=self.measure.journal)
        items = candidates.table[["index", "size"]].to_dict("records")
        rows = work.executor.map(function, items, name="measure", shard=self.measure.shard, seconds=10.0)
        energies = candidates.with_columns({"energy": [row.get("energy") for row in rows]})
        energies.reject("measure", [row.get("error") for row in rows]).write(work.folder)
        return {}

    def _choose(self, work):
        candidates = work.candidates("measure").order_by("energy")
        late = [None if i < self.top else f"place {i + 1} of {len(candidates)}" for i in range(len(candidates))]
        candidates.reject("choose", late).write(work.folder)
        return {}
