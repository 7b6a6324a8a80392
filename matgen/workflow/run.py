"""Running a workflow: what is done is kept, what is missing is made, in the order of its stages."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matgen.data.candidates import Candidates
from matgen.errors import ConfigError
from matgen.execution import Pool
from matgen.runtime import content_id
from matgen.workflow.config import Workflow, load_workflow
from matgen.workflow.ledger import refuse_network
from matgen.workflow.ledger_executor import LedgerExecutor
from matgen.workflow.run_folder import LEDGER, UNFINISHED, RunFolder
from matgen.workflow.stage import Stage, Workspace, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matgen.execution import Executor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: Where everything lies.
        config: The resolved configuration.
        record: What ``run.json`` says: stages, funnel, timings, protocol, products.
    """

    folder: Path
    config: Workflow
    record: dict[str, Any]

    @property
    def candidates(self) -> Candidates:
        """The final candidates, with the rejected ones."""
        return Candidates.read(self.folder)


def run(
    workflow: Workflow | str | Path | Mapping[str, Any],
    settings: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    executor: Executor | None = None,
) -> Run:
    """Run a workflow, or go on with a run.

    On a folder that already holds a run, stages whose settings and inputs are unchanged are kept, the others are done
    again together with all that depends on them. A run may be killed at any moment; the same call goes on from there
    and ends with the same table.

    Args:
        workflow: A YAML file, the name of a workflow, a mapping, or a configuration.
        settings: Overrides as ``section.name=value``.
        out: Folder of the run; ``runs/<name of the file>`` by default.
        executor: Runs the shards of work; a pool of worker processes by default.

    Raises:
        ConfigError: The configuration cannot be honoured (said before any work), the folder is another process's or
            holds something else.
    """
    config = load_workflow(workflow, settings)
    path = Path(out) if out is not None else Path("runs") / _name(workflow, config)
    folder = RunFolder(path.absolute())
    # A plugin may take part in any stage, so a changed one makes all of them new.
    stages = [replace(stage, files=(*stage.files, *config.plugins)) for stage in config.stages()]
    with folder.opened():
        if not config.network_folder:
            refuse_network(folder.path)
        _refuse_other_kind(folder, config)
        folder.begin(config.text())
        if executor is not None:
            return _Runner(folder, config, stages, executor).run()
        with Pool(config.workers, config.memory) as pool:
            return _Runner(folder, config, stages, pool).run()


@dataclass
class _Runner:
    folder: RunFolder
    config: Workflow
    stages: list[Stage]
    inner: Executor

    def run(self) -> Run:
        fingerprints: dict[str, str] = {}
        records: list[dict[str, Any]] = []
        for stage in self.stages:
            fingerprints[stage.name] = stage.fingerprint(fingerprints)
        kept = self.folder.read_record()
        for number, stage in enumerate(self.stages, 1):
            record = self.folder.finished(stage, fingerprints[stage.name])
            if record is None:
                log.info("stage %d of %d: %s", number, len(self.stages), stage.name)
                self.folder.record({**_summary(self.config, records), "state": f"at stage {stage.name}"})
                record = self._do(stage, fingerprints)
            records.append(record)
        return self._finish(records, kept)

    def _do(self, stage: Stage, fingerprints: Mapping[str, str]) -> dict[str, Any]:
        start = time.monotonic()
        with self.folder.part(stage) as part:
            work = self._workspace(part, stage, fingerprints)
            facts = stage.work(work)
            seconds = round(time.monotonic() - start, 2)
            record = {
                "fingerprint": fingerprints[stage.name],
                "version": stage.version,
                "settings": stage.settings,
                "seconds": seconds,
                "counts": count(part),
                "facts": dict(facts),
            }
            log.info("stage %s took %.1f s; %s", stage.name, seconds, record["counts"] or record["facts"])
            record = self.folder.keep(part, stage, record)
        shutil.rmtree(work.unfinished, ignore_errors=True)
        return record

    def _workspace(self, part: Path, stage: Stage, fingerprints: Mapping[str, str]) -> Workspace:
        path, scope = self.folder.path, stage.scope(fingerprints)
        executor = LedgerExecutor(path / LEDGER, self.inner, scope, network=self.config.network_folder)
        unfinished = path / UNFINISHED / f"{stage.name}-{fingerprints[stage.name]}"
        return Workspace(part, {s.name: path / s.folder for s in self.stages}, executor, path, unfinished)

    def _finish(self, records: list[dict[str, Any]], kept: dict[str, Any]) -> Run:
        """Lay out the products at the run's root, unless that was done for the same results."""
        path, summary = self.folder.path, _summary(self.config, records)
        same = kept.get("state") == "done" and all(kept.get(key) == summary[key] for key in ("config", "stages"))
        if same and all((path / product).exists() for product in kept["products"]):
            self.folder.record(kept)
            return Run(path, self.config, kept)
        self.folder.record({**summary, "state": "writing products"})
        products = self.config.finish(path, {s.name: path / s.folder for s in self.stages})
        summary |= {"state": "done", "products": products}
        self.folder.record(summary)
        return Run(path, self.config, summary)


def _summary(config: Workflow, records: list[dict[str, Any]]) -> dict[str, Any]:
    """``run.json``: the stages so far, the funnel, the time each took, and what the numbers rest on."""
    facts: dict[str, Any] = {}
    for record in records:
        facts |= record["facts"]
    return {
        "workflow": config.workflow,
        "config": content_id(config.model_dump(mode="json")),
        "stages": [{"stage": r["stage"], "fingerprint": r["fingerprint"]} for r in records],
        "funnel": _funnel(records),
        "timings": {r["stage"]: r["seconds"] for r in records},
        "protocol": facts,
    }


def _funnel(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many candidates entered and left each stage that has candidates."""
    steps: list[dict[str, Any]] = []
    entered = None
    for record in records:
        if counts := record["counts"]:
            started = counts["kept"] + counts["rejected"] if entered is None else entered
            steps.append({"stage": record["stage"], "entered": started, "left": counts["kept"]})
            entered = counts["kept"]
    return steps


def _refuse_other_kind(folder: RunFolder, config: Workflow) -> None:
    before = folder.read_record().get("workflow", config.workflow)
    if before != config.workflow:
        raise ConfigError(
            f"this folder holds a run of {before!r}, not of {config.workflow!r}.",
            where=str(folder.path),
            fix="Give another folder with --out.",
        )


def _name(workflow: object, config: Workflow) -> str:
    return Path(workflow).stem if isinstance(workflow, str | Path) else config.workflow
