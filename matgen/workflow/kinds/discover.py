"""The main job: data in, ranked and explained candidates out."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from matgen.data.property import PROPERTIES, find_property
from matgen.errors import ConfigError, did_you_mean
from matgen.workflow.config import WORKFLOWS, Section, Workflow
from matgen.workflow.sections import (
    ACTING,
    DataSection,
    HullSection,
    NoveltySection,
    PredictSection,
    PromoteSection,
    RankSection,
    RelaxSection,
    ReportSection,
    SampleSection,
    ScreenSection,
    TrainSection,
)
from matgen.workflow.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matgen.generators.base import Generator
    from matgen.workflow.discovery import Discovery

RANKABLE = frozenset({"e_above_hull", "e_form", "pressure", "volume_change", "rmsd", "n_atoms", "novel", "unique"})
"""Columns that every discovery has before it ranks; predicted properties join them."""


@WORKFLOWS.register("discover")
class Discover(Workflow):
    """Sample, screen, relax, judge and rank new crystals.

    Args:
        data: One's own data.
        train: Train a generator on them.
        sample: Generators and what is asked of each.
        screen: What a candidate must pass.
        novelty: What counts as known, before and again after relaxation.
        promote: Which candidates are relaxed.
        relax: How.
        hull: What energies are measured from.
        predict: Predicted properties.
        rank: What is sought.
        report: What the report shows.
    """

    workflow: Literal["discover"] = "discover"
    data: DataSection | None = None
    train: TrainSection | None = None
    sample: list[SampleSection] = Field(
        default=[SampleSection(model=model, n=640, constraints=list(ACTING)) for model in ("flow-mp20", "retrieval")],
        min_length=1,
    )
    screen: ScreenSection = ScreenSection()
    novelty: NoveltySection = NoveltySection()
    promote: PromoteSection = PromoteSection()
    relax: RelaxSection = RelaxSection()
    hull: HullSection = HullSection()
    predict: PredictSection = PredictSection()
    rank: RankSection = RankSection()
    report: ReportSection = ReportSection()

    def check(self) -> None:
        """Refuse what could only fail later: unknown names, missing files, requests that cannot be honoured."""
        from matgen.stability.potential import load_potential
        from matgen.stability.references import load_reference

        if self.data is not None and not Path(self.data.source).exists() and ":" not in self.data.source:
            raise ConfigError("no such file or folder.", where="data.source", fix="Check the path.")
        if self.train is not None and self.data is None:
            raise ConfigError("there are no data to train on.", where="train", fix="Name them under data.source.")
        for place, entry in enumerate(self.sample):
            with _placed(f"sample.{place}"):
                self._check_sample(entry)
        with _placed("relax"):
            scale = load_potential(self.relax.spec()).scale
        with _placed("hull.reference"):
            table = load_reference(self.hull.reference)
        if table.scale != scale:
            raise ConfigError(
                f"{table.name} holds energies of {table.scale}, but relax.potential gives those of {scale}.",
                where="hull.reference",
                fix="Use a table of the same potential.",
            )
        self._check_novelty()
        self._check_predict()
        self._check_objectives()

    def stages(self) -> list[Stage]:
        """Data and training where they are asked for, then the path from samples to a ranking."""
        from matgen.workflow.discovery import Discovery

        do = Discovery(self)
        return list(self._stages(do))

    def finish(self, folder: Path, done: Mapping[str, Path]) -> list[str]:
        """Tables, structures and the report."""
        from matgen.workflow.discovery import finish

        return finish(folder, done, self.report.top)

    def _stages(self, do: Discovery) -> Iterator[Stage]:
        """Each with the settings and inputs on which its result depends."""
        screening = {"constraints": self.screen.constraints}
        sources: tuple[str, ...] = ()
        if self.data is not None:
            yield Stage(1, "data", do.data, _plain(self.data), files=_existing(self.data.source))
            sources = ("data",)
        if self.train is not None:
            yield Stage(2, "train", do.train, _plain(self.train), ("data",))
            sources = ("data", "train")
        drawing = {"seed": self.seed, "sample": [_plain(entry) for entry in self.sample]}
        yield Stage(3, "sample", do.sample, drawing, sources, sources, self._model_files())
        yield Stage(4, "screen", do.screen, screening, ("sample",))
        known = sources[:1]
        yield Stage(5, "novelty", do.novelty, _plain(self.novelty), ("screen", *known), files=self._known())
        judging = {"relax": self.relax.spec(), "predict": _plain(self.predict), "promote": _plain(self.promote)}
        yield Stage(6, "promote", do.promote, judging, ("novelty",), files=self._judges())
        yield Stage(7, "relax", do.relax, {**screening, **_plain(self.relax)}, ("promote",))
        yield Stage(8, "hull", do.hull, _plain(self.hull), ("relax",), files=self._reference())
        yield Stage(9, "distinct", do.distinct, _plain(self.novelty), ("hull", *known), files=self._known())
        yield Stage(10, "predict", do.predict, _plain(self.predict), ("distinct",), files=self._surrogates())
        yield Stage(11, "rank", do.rank, _plain(self.rank), ("predict",))

    def _check_sample(self, entry: SampleSection) -> None:
        from matgen.constraints.compatibility import require_compatible
        from matgen.constraints.specification import build_acting
        from matgen.data.request import Request
        from matgen.generators.base import GENERATORS, load_generator
        from matgen.optimize.selection import named_judge

        with _placed("constraints"):
            acting = build_acting(entry.constraints)
        if self.train is not None and entry.model == self.train.name:
            kind: Generator | type[Generator] = GENERATORS.get(self.train.generator)
        else:
            kind = load_generator(entry.model, **entry.config)
        request = Request(**entry.asked())
        request.require_honoured_by(kind.conditions, entry.model)
        kind.require_usable(acting)
        require_compatible(acting, request, largest=getattr(kind, "max_atoms", None))
        if self.train is None or entry.model != self.train.name:
            named_judge(entry.candidates, entry.rank_by, entry.model, {**entry.asked(), "config": entry.config})

    def _check_novelty(self) -> None:
        for place, path in enumerate(self.novelty.reference):
            if not Path(path).exists():
                where = f"novelty.reference.{place}"
                raise ConfigError(f"{path}: no such file or folder.", where=where, fix="Check the path.")
        if not (self.novelty.shipped or self.novelty.reference or self.data):
            raise ConfigError("there is nothing to compare with.", where="novelty.shipped", fix="Set it to true.")

    def _check_predict(self) -> None:
        from matgen.surrogates.prediction import default_model, surrogate_for

        for name in self.predict.properties:
            with _placed("predict.properties"):
                find_property(name)
                surrogate_for(name, self.predict.models.get(name) or default_model(name))
        for name in self.predict.models:
            if name not in self.predict.properties:
                fix = did_you_mean(name, self.predict.properties)
                raise ConfigError(f"{name!r} is not among the properties.", where=f"predict.models.{name}", fix=fix)

    def _check_objectives(self) -> None:
        predicted = {*self.predict.properties, *(f"{name}_std" for name in self.predict.properties)}
        unrelaxed = {f"{name}_unrelaxed" for name in {"e_above_hull", "e_form", *self.predict.properties}}
        for where, objectives, known in (
            ("promote.objectives", self.promote.objectives, unrelaxed),
            ("rank.objectives", self.rank.objectives, RANKABLE | predicted),
        ):
            for place, objective in enumerate(objectives):
                if objective.property not in known:
                    more = " Predict it first." if where[0] == "r" and objective.property in PROPERTIES else ""
                    raise ConfigError(
                        f"no column {objective.property!r} will be there to rank by.{more}",
                        where=f"{where}.{place}.property",
                        fix=did_you_mean(objective.property, known),
                    )

    def _model_files(self) -> tuple[Path, ...]:
        from matgen.generators.base import SHIPPED

        libraries = [entry.config.get("library") for entry in self.sample]
        names = [SHIPPED / entry.model for entry in self.sample] + [Path(entry.model) for entry in self.sample]
        files = [*libraries, *(entry.fixed.file for entry in self.sample if entry.fixed)]
        return tuple(path for path in [*names, *(Path(file) for file in files if file)] if path.exists())

    def _known(self) -> tuple[Path, ...]:
        from matgen.evaluate.known import SHIPPED

        own = [Path(path) for path in self.novelty.reference]
        return (*([SHIPPED] if self.novelty.shipped else []), *own)

    def _reference(self) -> tuple[Path, ...]:
        from matgen.stability.references import SHIPPED

        return _existing(SHIPPED / self.hull.reference) or _existing(self.hull.reference)

    def _surrogates(self) -> tuple[Path, ...]:
        from matgen.surrogates.prediction import default_model
        from matgen.surrogates.storage import SHIPPED

        models = [self.predict.models.get(name) or default_model(name) for name in self.predict.properties]
        return tuple(path for model in models for path in (_existing(SHIPPED / model) or _existing(model)))

    def _judges(self) -> tuple[Path, ...]:
        return (*self._reference(), *self._surrogates())


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Name the section in a ConfigError that a part of matgen raises inside the block."""
    try:
        yield
    except ConfigError as error:
        place = where if error.where is None else f"{where}.{error.where}"
        raise type(error)(error.what, where=place, fix=error.fix) from error


def _plain(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json")


def _existing(path: str | Path) -> tuple[Path, ...]:
    return (Path(path),) if Path(path).exists() else ()
