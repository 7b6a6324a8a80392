"""What the stages of a discovery do: a verb each, from the folder of the stage before to one of its own."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from matgen.constraints.screening import screen
from matgen.data.candidates import Candidates
from matgen.data.dataset import CARD, STRUCTURES, Dataset
from matgen.data.ingest import ingest
from matgen.data.structures import pack, read_structures
from matgen.evaluate.known import COLUMNS, Known, shipped
from matgen.evaluate.known_building import describe_rows
from matgen.evaluate.novelty import novelty
from matgen.generators.base import CARD as MODEL_CARD
from matgen.generators.base import WEIGHTS
from matgen.optimize.ranking import DOUBT, rank
from matgen.optimize.selection import sample
from matgen.runtime import content_id
from matgen.stability.hull import hull
from matgen.stability.plausibility import suspicions
from matgen.stability.relaxation import relax, single_point
from matgen.surrogates.prediction import predict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matgen.workflow.kinds.discover import Discover
    from matgen.workflow.stage import Facts, Workspace

DATASET, MODEL = "dataset", "model"
UNRELAXED = "_unrelaxed"
FAR_BELOW = -0.1
"""eV/atom above hull; real discoveries seldom lie lower."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Discovery:
    """The work of each stage under one configuration.

    Args:
        config: The configuration.
    """

    config: Discover

    def data(self, work: Workspace) -> Facts:
        """Read one's own data through the quality gate, or take over a data set that went through it before."""
        plan, out = self.config.data, work.folder / DATASET
        assert plan is not None  # noqa: S101 (the stage exists only with this section)
        if (Path(plan.source) / CARD).is_file():
            shutil.copytree(plan.source, out)
            dataset = Dataset.open(out)
        else:
            dataset = ingest(plan.source, out, plan.options, executor=work.executor)
        return {"data": f"{len(dataset)} rows kept, {len(dataset.quarantine)} quarantined"}

    def train(self, work: Workspace) -> Facts:
        """Train a generator on the data; a killed training goes on."""
        from matgen.generators.training import train

        plan = self.config.train
        assert plan is not None  # noqa: S101 (the stage exists only with this section)
        recipe = plan.model_dump(exclude={"name", "training"})
        train(work.done["data"] / DATASET, work.unfinished, settings=plan.training.settings(), **recipe)
        for name in (MODEL_CARD, WEIGHTS):
            target = work.folder / plan.name / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(work.unfinished / name, target)
        return {"trained": plan.generator}

    def sample(self, work: Workspace) -> Facts:
        """Draw candidates from every generator."""
        drawn = [self._draw(i, work) for i in range(len(self.config.sample))]
        _joined(drawn).write(work.folder)
        return {"generators": ", ".join(dict.fromkeys(str(g) for d in drawn for g in d.table["generator"]))}

    def screen(self, work: Workspace) -> Facts:
        """Reject what chemistry or geometry forbids."""
        before = work.candidates("sample")
        screened = screen(before, self.config.screen.constraints, executor=work.executor)
        # Validity and symmetry are judged again, and recorded, once the structures are relaxed.
        _without(screened, ["valid", "space_group"]).write(work.folder)
        return {}

    def novelty(self, work: Workspace) -> Facts:
        """Reject repeats and known structures before the dear stages."""
        before = work.candidates("screen")
        for place, source in enumerate(self._references(work)):
            _describe(Path(source), work).to_parquet(work.folder / f"known-{place}.parquet", index=False)
        known, plan = self._known(work, work.folder), self.config.novelty
        judged = novelty(before, known, reject_known=plan.reject_known, executor=work.executor)
        # Judged again, and recorded, once the structures are relaxed.
        after = _without(judged, ["unique", "novel", "nearest_known"])
        _labelled(after, before, "novelty").write(work.folder)
        return {}

    def promote(self, work: Workspace) -> Facts:
        """Choose who is relaxed, by estimates from the structures as they are."""
        before, plan = work.candidates("novelty"), self.config.promote
        estimated = hull(
            single_point(before, self.config.relax.spec(), executor=work.executor),
            self.config.hull.reference,
            energies="energy_unrelaxed",
        )
        names = [o.property.removesuffix(UNRELAXED) for o in plan.objectives]
        wanted = [name for name in names if name in self.config.predict.properties]
        if wanted:
            columns = {name: name + UNRELAXED for name in wanted}
            estimated = predict(wanted, estimated, self.config.predict.models, columns=columns)
        ranked = rank(estimated, plan.objectives)
        late = [None if i < plan.n else f"place {i + 1} of {len(ranked)} for relaxation" for i in range(len(ranked))]
        kept = {*before.table, *(o.property for o in plan.objectives), "energy_scale"}
        chosen = _without(ranked, [name for name in ranked.table if name not in kept]).reject("promote", late)
        _labelled(chosen, before, "promote").write(work.folder)
        return {}

    def relax(self, work: Workspace) -> Facts:
        """Relax, and screen what came out."""
        before, plan = work.candidates("promote"), self.config.relax
        relaxed = relax(
            before,
            plan.spec(),
            fmax=plan.fmax,
            max_steps=plan.max_steps,
            symmetry=plan.symmetry,
            seconds=plan.seconds,
            executor=work.executor,
        )
        screened = screen(relaxed, self.config.screen.constraints, executor=work.executor)
        after = _labelled(screened, before, "relax")
        after.write(work.folder)
        scales = after.table["energy_scale"].unique()
        return {"potential": str(scales[0])} if len(scales) else {}

    def hull(self, work: Workspace) -> Facts:
        """Measure energies from the reference hull."""
        judged = hull(work.candidates("relax"), self.config.hull.reference)
        judged = judged.with_columns({DOUBT: suspicions(judged)})
        judged.write(work.folder)
        below = int((judged.table["e_above_hull"] < FAR_BELOW).sum())
        if below > 0.1 * len(judged):
            log.warning(
                "%d of %d candidates lie more than %g eV/atom below the reference hull: it may lack competing phases",
                below,
                len(judged),
                -FAR_BELOW,
            )
        return {"hull_reference": Path(self.config.hull.reference).name}

    def distinct(self, work: Workspace) -> Facts:
        """Reject what relaxed into a structure that is known, or into the same one as a candidate of lower energy."""
        before, known = work.candidates("hull").order_by("e_above_hull"), self._known(work, work.done["novelty"])
        reject = self.config.novelty.reject_known
        judged = novelty(before, known, reject_known=reject, executor=work.executor)
        _labelled(judged, before, "distinct").write(work.folder)
        return {"novelty_reference": " and ".join(one.name for one in known)}

    def predict(self, work: Workspace) -> Facts:
        """Predict properties with their uncertainty."""
        candidates, plan = work.candidates("distinct"), self.config.predict
        columns = {name: f"{name}_surrogate" for name in plan.properties if name in candidates.table}
        predict(plan.properties, candidates, plan.models, columns=columns).write(work.folder)
        return {}

    def rank(self, work: Workspace) -> Facts:
        """Order the candidates, with reasons."""
        plan = self.config.rank
        rank(work.candidates("predict"), plan.objectives, floor=plan.floor).write(work.folder)
        return {}

    def _references(self, work: Workspace) -> list[str]:
        """Known structures of one's own."""
        return [*self.config.novelty.reference, *([str(work.done["data"] / DATASET)] if "data" in work.done else [])]

    def _known(self, work: Workspace, folder: Path) -> list[Known]:
        """All known structures, described in a folder of the novelty stage where they are one's own."""
        names = [Path(source).name for source in self._references(work)]
        own = [Known(name, pd.read_parquet(folder / f"known-{i}.parquet")) for i, name in enumerate(names)]
        return [*([shipped()] if self.config.novelty.shipped else []), *own]

    def _draw(self, place: int, work: Workspace) -> Candidates:
        plan = self.config.sample[place]
        model, config = plan.model, dict(plan.config)
        if self.config.train is not None and model == self.config.train.name:
            model = str(work.done["train"] / model)
        if model in ("retrieval", "hybrid") and "data" in work.done:
            config.setdefault("library", str(work.done["data"] / DATASET))
        return sample(
            model,
            seed=self._seed(place),
            constraints=plan.constraints,
            config=config,
            options=plan.options,
            candidates=plan.candidates,
            rank_by=plan.rank_by,
            symmetrise=plan.symmetrise,
            executor=work.executor,
            **plan.asked(),
        )

    def _seed(self, place: int) -> int:
        """Seed of an entry under ``sample``: entries of the same model differ, and do not depend on the others."""
        entries = self.config.sample
        earlier = sum(e.model == entries[place].model for e in entries[:place])
        return self.config.seed if not earlier else int(content_id(self.config.seed, earlier, length=15), 16)


def finish(folder: Path, done: Mapping[str, Path], top: int) -> list[str]:
    """Lay out a discovery's products: tables, structures and the report.

    Args:
        folder: The run's folder.
        done: Folder of each stage.
        top: Candidates with a card in the report.

    Returns:
        Names of the products.
    """
    from matgen.data.candidates import ACCEPTED, REJECTED
    from matgen.report.exports import CIFS, export
    from matgen.report.page import FILE, report

    candidates = Candidates.read(done["rank"])
    shutil.rmtree(folder / CIFS, ignore_errors=True)
    candidates.write(folder)
    exported = export(candidates, folder)
    report(folder, top=top)
    return [ACCEPTED, REJECTED, *exported, FILE]


def _describe(source: Path, work: Workspace) -> pd.DataFrame:
    """Fingerprints of the known structures in a data set or file."""
    table = source / STRUCTURES
    _, structures = read_structures(table if table.exists() else source)
    items = pd.DataFrame(pack(structures)).to_dict("records")
    rows = work.executor.map(describe_rows, items, name="fingerprints", shard=200, seconds=60.0)
    whole = [row for row in rows if "error" not in row]
    if len(whole) < len(rows):
        log.warning("%d of %d known structures of %s could not be described", len(rows) - len(whole), len(rows), source)
    return pd.DataFrame(whole, columns=list(COLUMNS))


def _joined(parts: Sequence[Candidates]) -> Candidates:
    table = pd.concat([part.table for part in parts], ignore_index=True)
    left = [part for part in parts if len(part.rejected)]
    structures = [structure for part in parts for structure in part.structures]
    if not left:
        return Candidates(table, structures)
    rejected = pd.concat([part.rejected for part in left], ignore_index=True).assign(stage="sample")
    return Candidates(table, structures, rejected, [s for part in left for s in part.rejected_structures])


def _without(candidates: Candidates, columns: Sequence[str]) -> Candidates:
    present = [name for name in columns if name in candidates.table]
    return replace(candidates, table=candidates.table.drop(columns=present))


def _labelled(after: Candidates, before: Candidates, stage: str) -> Candidates:
    """Candidates whose newly rejected rows bear the name of the stage, whichever of its steps rejected them."""
    new = ~after.rejected["id"].isin(before.rejected["id"])
    return replace(after, rejected=after.rejected.assign(stage=after.rejected["stage"].mask(new, stage)))
