"""Molecules for a target: proposed, checked, judged by surrogates and tight binding, ranked, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from matgen.data.property import find_property
from matgen.errors import ConfigError, did_you_mean
from matgen.optimize.objective import Objective
from matgen.workflow.config import WORKFLOWS, Count, Positive, Section, Workflow
from matgen.workflow.kinds.discover import _existing, _placed, _plain
from matgen.workflow.sections import (
    Constraints,
    DataSection,
    NameOrPath,
    RankSection,
    ReportSection,
    SampleSection,
    TrainSection,
    _constraint,
)
from matgen.workflow.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMPUTED = frozenset(
    {"synthetic_accessibility", "qed", "logp", "tpsa", "molecular_weight", "n_atoms", "novel", "similarity_known"}
)
"""Columns that every molecule gets from its bonds before it is judged."""

ORBITALS = frozenset({"xtb_gap", "xtb_homo", "xtb_lumo", "xtb_dipole", "energy", "rmsd"})
"""Columns that the finalists get from tight binding."""

CHECKED = (
    "valence",
    {"ring_sizes": {"smallest": 3, "largest": 7}},
    {"structural_alerts": {"lists": ["PAINS"]}},
    {"synthetic_accessibility": {"high": 4.5}},
    {"molecular_weight": {"low": 60, "high": 500}},
)


class MoleculeScreenSection(Section):
    """What a molecule must pass.

    Args:
        constraints: Each needs the role ``check``.
    """

    constraints: Constraints = Field(default=[_constraint(spec) for spec in CHECKED])


class MoleculePredictSection(Section):
    """Which properties surrogates predict.

    Args:
        properties: Their names.
        models: Shipped model or folder of one's own, by property; the shipped one where none is named.
    """

    properties: list[str] = Field(default=["log10_solubility"])
    models: dict[str, NameOrPath] = Field(default={})


class QuantumSection(Section):
    """Who is computed by tight binding, and how.

    Args:
        n: Molecules that are computed, best first by ``objectives``.
        objectives: What is sought before anything is computed.
        potential: Name of the potential that relaxes.
        fmax: Largest force of a relaxed molecule, eV/Å.
        max_steps: Steps after which a molecule counts as unconverged.
        seconds: Time limit of one molecule, s.
    """

    n: Count = 40
    objectives: list[Objective] = Field(
        default=[
            Objective(property="log10_solubility", goal="maximise", low=-6.0, high=0.0),
            Objective(property="qed", goal="maximise", low=0.2, high=0.95),
        ],
        min_length=1,
    )
    potential: str = "gfn2-xtb"
    fmax: Positive = 0.05
    max_steps: Count = 200
    seconds: Positive = 120.0


class KnownSection(Section):
    """What counts as known.

    Args:
        reference: Tables or data sets of molecules to compare with, besides one's own data.
        reject_known: Whether a known molecule is rejected; otherwise it stays and is marked.
    """

    reference: list[Annotated[str, Field(min_length=1)]] = Field(default=[])
    reject_known: bool = True


@WORKFLOWS.register("molecules")
class Molecules(Workflow):
    """Propose, check, judge and rank new molecules.

    Args:
        data: One's own molecules: the library of the baseline, what a training learns from, and what counts as known.
        train: Train a generator on them.
        sample: Generators and what is asked of each.
        screen: What a molecule must pass.
        known: What counts as known.
        predict: Predicted properties.
        quantum: Who is relaxed by GFN2-xTB.
        rank: What is sought.
        report: What the report shows.
    """

    workflow: Literal["molecules"] = "molecules"
    data: DataSection | None = None
    train: TrainSection | None = None
    sample: list[SampleSection] = Field(default=[SampleSection(model="smiles-moses", n=400)], min_length=1)
    screen: MoleculeScreenSection = MoleculeScreenSection()
    known: KnownSection = KnownSection()
    predict: MoleculePredictSection = MoleculePredictSection()
    quantum: QuantumSection = QuantumSection()
    rank: RankSection = RankSection(
        objectives=[
            Objective(property="xtb_gap", goal="target", low=3.0, high=4.0, tolerance=1.0),
            Objective(property="log10_solubility", goal="maximise", low=-6.0, high=0.0),
        ]
    )
    report: ReportSection = ReportSection()

    def check(self) -> None:
        """Refuse what could only fail later: unknown names, missing files, requests that cannot be honoured."""
        from matgen.stability.potential import load_potential
        from matgen.surrogates.prediction import default_model, surrogate_for

        if self.data is not None and not Path(self.data.source).exists() and ":" not in self.data.source:
            raise ConfigError("no such file or folder.", where="data.source", fix="Check the path.")
        if self.train is not None and self.data is None:
            raise ConfigError("there are no data to train on.", where="train", fix="Name them under data.source.")
        for place, entry in enumerate(self.sample):
            if entry.model == "recombination" and self.data is None and "library" not in entry.config:
                where = f"sample.{place}.config.library"
                raise ConfigError("no library of molecules.", where=where, fix="Name your molecules under data.source.")
        for place, path in enumerate(self.known.reference):
            if not Path(path).exists():
                raise ConfigError(f"{path}: no such file or folder.", where=f"known.reference.{place}")
        with _placed("quantum.potential"):
            load_potential(self.quantum.potential)
        for name in self.predict.properties:
            with _placed("predict.properties"):
                find_property(name)
                surrogate_for(name, self.predict.models.get(name) or default_model(name))
        self._check_objectives()

    def stages(self) -> list[Stage]:
        """Data and training where they are asked for, then the path from samples to a ranking."""
        return list(self._stages())

    def finish(self, folder: Path, done: Mapping[str, Path]) -> list[str]:
        """Tables, structures and the report."""
        from matgen.workflow.molecules import finish

        return finish(folder, done, self.report.top)

    def _stages(self) -> Iterator[Stage]:
        from matgen.workflow.molecules import MoleculeWork

        do = MoleculeWork(self)
        sources: tuple[str, ...] = ()
        if self.data is not None:
            yield Stage(1, "data", do.shared.data, _plain(self.data), files=_existing(self.data.source))
            sources = ("data",)
        if self.train is not None:
            yield Stage(2, "train", do.shared.train, _plain(self.train), ("data",))
            sources = ("data", "train")
        drawing = {"seed": self.seed, "sample": [_plain(entry) for entry in self.sample]}
        yield Stage(3, "sample", do.sample, drawing, sources, sources, self._model_files())
        yield Stage(4, "screen", do.screen, _plain(self.screen), ("sample",))
        known = tuple(Path(path) for path in self.known.reference)
        yield Stage(5, "novelty", do.novelty, _plain(self.known), ("screen", *sources[:1]), files=known)
        yield Stage(6, "predict", do.predict, _plain(self.predict), ("novelty",), files=self._surrogates())
        yield Stage(7, "quantum", do.quantum, {"seed": self.seed, **_plain(self.quantum)}, ("predict",))
        yield Stage(8, "rank", do.rank, _plain(self.rank), ("quantum",))

    def _check_objectives(self) -> None:
        predicted = {*self.predict.properties, *(f"{name}_std" for name in self.predict.properties)}
        for where, objectives, known in (
            ("quantum.objectives", self.quantum.objectives, COMPUTED | predicted),
            ("rank.objectives", self.rank.objectives, COMPUTED | ORBITALS | predicted),
        ):
            for place, objective in enumerate(objectives):
                if objective.property not in known:
                    raise ConfigError(
                        f"no column {objective.property!r} will be there to rank by.",
                        where=f"{where}.{place}.property",
                        fix=did_you_mean(objective.property, known),
                    )

    def _model_files(self) -> tuple[Path, ...]:
        from matgen.generators.base import SHIPPED

        libraries = [entry.config["library"] for entry in self.sample if entry.config.get("library")]
        names = [SHIPPED / entry.model for entry in self.sample] + [Path(entry.model) for entry in self.sample]
        return tuple(path for path in [*names, *map(Path, libraries)] if path.exists())

    def _surrogates(self) -> tuple[Path, ...]:
        from matgen.surrogates.prediction import default_model
        from matgen.surrogates.storage import SHIPPED

        models = [self.predict.models.get(name) or default_model(name) for name in self.predict.properties]
        return tuple(path for model in models for path in (_existing(SHIPPED / model) or _existing(model)))
