"""A search: Optuna proposes, a space realises, an evaluator judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from matgen.optimize.aims import Aim, Limit
from matgen.runtime import require
from matgen.workflow.config import WORKFLOWS, Count, Section, Workflow
from matgen.workflow.sections import ReportSection
from matgen.workflow.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matgen.workflow.stage import Facts, Workspace

Named = str | dict[str, Any]
"""A name, or a name with settings."""

STUDY, PAGE, TRIALS = "study.db", "study.html", "trials.csv"

CATIONS = ["Li", "Na", "Mg", "Al", "Si", "Ca", "Ti", "Zr", "Nb", "Ta"]


class SearchSection(Section):
    """How long, how wide and where.

    Args:
        evaluations: Candidates to evaluate in all.
        batch: Candidates evaluated at once.
        retrain: Rounds after which a surrogate on the ladder learns from the results.
        storage: Address of a database for several machines, or path of a journal; ``study.db`` in the run's folder
            where it is not given.
        study: Name of the study.
        worker: A different number for each process that works on one study.
        heartbeat: Seconds between signs of life of a running trial in a database.
        count: Column that a candidate must have got to count as evaluated: with ``relax_status``, those that the ladder
            refuses before the relaxation are free.
        memory: File that keeps the results of relaxations and the like, for this search and others.
    """

    evaluations: Count = 100
    batch: Count = 8
    retrain: Count = 4
    storage: str | None = None
    study: Annotated[str, Field(min_length=1)] = "search"
    worker: Annotated[int, Field(ge=0)] = 0
    heartbeat: Count = 30
    count: str | None = None
    memory: str | None = None


class StudySection(ReportSection):
    """What the study page shows.

    Args:
        projection: How maps of the candidates are made flat: ``pca``, or ``umap`` (``pip install 'matgen[umap]'``).
    """

    projection: Literal["pca", "umap"] = "pca"


@WORKFLOWS.register("optimize")
class Optimize(Workflow):
    """Search a space for the best candidates in few evaluations.

    Args:
        space: What is varied.
        evaluate: Where the values of a candidate come from.
        objectives: What is sought.
        limits: Bounds that a candidate must keep to.
        sampler: Who proposes.
        search: How long, how wide and where.
        report: What the study page shows.
    """

    workflow: Literal["optimize"] = "optimize"
    space: Named = Field(default={"composition": {"elements": [*CATIONS, "O", "N"], "one_of": ["O", "N"]}})
    evaluate: Named = "ladder"
    objectives: list[Aim] = Field(default=[Aim(property="e_above_hull")], min_length=1)
    limits: list[Limit] = Field(default=[])
    sampler: Named = "tpe"
    search: SearchSection = SearchSection()
    report: StudySection = StudySection()

    def check(self) -> None:
        """Refuse what could only fail later: unknown names and settings, missing files."""
        from matgen.optimize.evaluators.base import EVALUATORS
        from matgen.optimize.parts import build
        from matgen.optimize.samplers import build_sampler
        from matgen.optimize.spaces.base import SPACES

        space = build(SPACES, self.space, "space")
        space.check()
        build(EVALUATORS, self.evaluate, "evaluate").check(self.objectives, self.limits)
        build_sampler(self.sampler, self.seed, space, self.objectives, self.limits)
        if self.report.projection == "umap":
            require("umap", "umap")

    def stages(self) -> list[Stage]:
        """The search."""
        plan = self.model_dump(mode="json", exclude={"report", "workers", "memory", "network_folder", "plugins"})
        return [Stage(1, "search", self._search, plan)]

    def finish(self, folder: Path, done: Mapping[str, Path]) -> list[str]:
        """Tables, structures and the study page."""
        from matgen.data.candidates import ACCEPTED, REJECTED
        from matgen.optimize.results import candidates_of, trials_table
        from matgen.report.exports import export
        from matgen.report.study import study_page
        from matgen.runtime import whole_file

        study = self._study(folder)
        found = candidates_of(study)
        found.write(folder)
        exported = export(found, folder)
        with whole_file(folder / TRIALS) as temporary:
            trials_table(study).to_csv(temporary, index=False)
        study_page(study, folder / PAGE, top=self.report.top, projection=self.report.projection)
        return [ACCEPTED, REJECTED, *exported, TRIALS, PAGE]

    def _search(self, work: Workspace) -> Facts:
        from matgen.optimize.results import candidates_of, evaluations
        from matgen.optimize.search import optimize

        plan = self.search
        study = optimize(
            self.space,
            self.evaluate,
            self.objectives,
            limits=self.limits,
            sampler=self.sampler,
            evaluations=plan.evaluations,
            batch=plan.batch,
            retrain=plan.retrain,
            seed=self.seed,
            storage=self._where(work.run),
            name=plan.study,
            worker=plan.worker,
            heartbeat=plan.heartbeat,
            count=plan.count,
            memory=plan.memory,
            executor=work.executor,
        )
        candidates_of(study).write(work.folder)
        return {
            "sampler": self.sampler,
            "evaluations": evaluations(study, plan.count),
            "storage": plan.storage or STUDY,
        }

    def _where(self, folder: Path) -> str:
        return self.search.storage or str(folder / STUDY)

    def _study(self, folder: Path) -> Any:
        import optuna

        from matgen.optimize.storage import open_storage

        storage = open_storage(self._where(folder)) or optuna.storages.InMemoryStorage()
        return optuna.load_study(study_name=self.search.study, storage=storage)
