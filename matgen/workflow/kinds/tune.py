"""Tuning of a model: which settings of a recipe give the lowest error on data it did not see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from matgen.errors import ConfigError
from matgen.workflow.config import WORKFLOWS, Count, LocalPath, Section, Workflow
from matgen.workflow.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matgen.optimize.trainers import GeneratorTrainer, SurrogateTrainer
    from matgen.workflow.stage import Facts, Workspace

Named = str | dict[str, Any]

STUDY, PAGE, TRIALS, BEST = "study.db", "study.html", "trials.csv", "best.yaml"


class TuningSection(Section):
    """How long and where.

    Args:
        trials: Trainings in all.
        folds: Parts of the cross-validation of a surrogate.
        storage: Address of a database for several processes; ``study.db`` in the run's folder where it is not given.
        study: Name of the study.
        worker: A different number for each process that works on one study.
    """

    trials: Count = 20
    folds: Annotated[int, Field(ge=2)] = 3
    storage: str | None = None
    study: Annotated[str, Field(min_length=1)] = "tune"
    worker: Annotated[int, Field(ge=0)] = 0


@WORKFLOWS.register("tune")
class Tune(Workflow):
    """Search for the settings of a training.

    Args:
        recipe: A recipe of a surrogate or a generator.
        data: Data sets or structure files to train and judge on.
        parameters: Values that settings may take, by dotted name.
        sampler: Who proposes.
        pruner: Who stops hopeless trainings.
        tuning: How long and where.
    """

    workflow: Literal["tune"] = "tune"
    recipe: LocalPath = Path("workflows/surrogates/formation-energy-composition.yaml")
    data: list[LocalPath] = Field(default=[])
    parameters: dict[str, dict[str, Any]] = Field(default={"settings.rate": {"low": 1e-4, "high": 1e-2, "log": True}})
    sampler: Named = "tpe"
    pruner: Named = "median"
    tuning: TuningSection = TuningSection()

    def check(self) -> None:
        """Refuse missing files, unknown samplers and settings that cannot be read."""
        from matgen.optimize.aims import Aim
        from matgen.optimize.parts import build
        from matgen.optimize.samplers import build_pruner, build_sampler
        from matgen.optimize.spaces.base import SPACES

        for path in (self.recipe, *self.data):
            if not path.exists():
                raise ConfigError("no such file or folder.", where=str(path), fix="Check the path.")
        if not self.data:
            raise ConfigError("there are no data to train on.", where="data", fix="Name a data set.")
        space = build(SPACES, {"settings": {"parameters": self.parameters}}, "parameters")
        space.check()
        build_sampler(self.sampler, self.seed, space, [Aim(property="score")])
        build_pruner(self.pruner)
        self.trainer()

    def trainer(self) -> SurrogateTrainer | GeneratorTrainer:
        """What is trained, by the recipe."""
        from matgen.optimize.trainers import GeneratorTrainer, SurrogateTrainer
        from matgen.workflow.generator_recipe import GeneratorRecipe
        from matgen.workflow.recipe import read_recipe
        from matgen.workflow.spelling import read_yaml
        from matgen.workflow.surrogate_recipe import SurrogateRecipe

        data: list[str | Path] = list(self.data)
        if "property" in read_yaml(self.recipe):
            plan = read_recipe(SurrogateRecipe, self.recipe)
            return SurrogateTrainer(
                data, plan.property, plan.surrogate, plan.settings, plan.column, self.tuning.folds, self.seed
            )
        made = read_recipe(GeneratorRecipe, self.recipe)
        training = made.training.model_dump()
        return GeneratorTrainer(data, made.generator, made.config, training, made.max_atoms, made.validation)

    def stages(self) -> list[Stage]:
        """The tuning."""
        plan = self.model_dump(mode="json", exclude={"workers", "memory", "network_folder", "plugins"})
        return [Stage(1, "tune", self._tune, plan, files=(self.recipe, *self.data))]

    def finish(self, folder: Path, done: Mapping[str, Path]) -> list[str]:
        """The table of trials, the best settings and the study page."""
        import optuna

        from matgen.optimize.results import trials_table
        from matgen.optimize.storage import open_storage
        from matgen.optimize.tuning import best_settings
        from matgen.report.study import study_page
        from matgen.runtime import whole_file, write_text
        from matgen.workflow.spelling import write_yaml

        storage = open_storage(self._where(folder)) or optuna.storages.InMemoryStorage()
        study = optuna.load_study(study_name=self.tuning.study, storage=storage)
        with whole_file(folder / TRIALS) as temporary:
            trials_table(study).to_csv(temporary, index=False)
        best = best_settings(study)
        write_text(folder / BEST, write_yaml({"score": best[1], "settings": best[0]} if best else {}))
        study_page(study, folder / PAGE)
        return [TRIALS, BEST, PAGE]

    def _tune(self, work: Workspace) -> Facts:
        from matgen.optimize.tuning import best_settings, tune

        plan = self.tuning
        study = tune(
            self.trainer(),
            self.parameters,
            trials=plan.trials,
            sampler=self.sampler,
            pruner=self.pruner,
            seed=self.seed,
            storage=self._where(work.run),
            name=plan.study,
            worker=plan.worker,
        )
        best = best_settings(study)
        return {"best": best[0] if best else None, "score": best[1] if best else None}

    def _where(self, folder: Path) -> str:
        return self.tuning.storage or str(folder / STUDY)
