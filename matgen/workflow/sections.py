"""The sections of a discovery: each holds the arguments of one verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from matgen.constraints.specification import build_acting, build_constraints, specify
from matgen.data.fixed import Fixed, read_fixed
from matgen.data.ingest import IngestOptions
from matgen.errors import ConfigError
from matgen.generators.base import CARD
from matgen.optimize.objective import Objective
from matgen.optimize.ranking import DEFAULT_OBJECTIVES, FLOOR
from matgen.workflow.config import Count, Positive, Section
from matgen.workflow.generator_recipe import GeneratorRecipe

if TYPE_CHECKING:
    from collections.abc import Mapping


def _constraint(spec: Any) -> Any:
    """A constraint with all of its settings spelled out, so that the resolved configuration holds them."""
    if not isinstance(spec, str | dict):
        raise ValueError("a constraint is a name, or a name with settings")
    try:
        return specify(build_constraints([spec])[0])
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _acting(spec: Any) -> Any:
    """The same of a constraint that acts in sampling."""
    if not isinstance(spec, str | dict):
        raise ValueError("a constraint is a name, or a name with settings")
    try:
        return specify(build_acting([spec])[0])
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _absolute(name: str) -> str:
    """The absolute path of something that exists, or the name as it is."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _name_or_path(name: str) -> str:
    # A folder of one's own that happens to be called like a part of matgen must not hide it.
    path = Path(name).expanduser()
    return _absolute(name) if len(path.parts) > 1 or path.is_file() or (path / CARD).is_file() else name


ACTING = ("elements", {"n_elements": {"low": 2, "high": 5}}, "charge_neutral")
"""Constraints that can already act while a structure is made."""


Constraints = list[Annotated[Any, AfterValidator(_constraint)]]
Acting = list[Annotated[Any, AfterValidator(_acting)]]
NameOrPath = Annotated[str, Field(min_length=1), AfterValidator(_name_or_path)]
"""The name of something that comes with matgen, or a path of one's own."""


class DataSection(Section):
    """One's own data: templates for retrieval, known structures for novelty, and what a training learns from.

    Args:
        source: Anything that ``matgen data ingest`` reads, or a data set that it wrote.
        options: What the quality gate is asked to do.
    """

    source: Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
    options: IngestOptions = IngestOptions()


class TrainSection(GeneratorRecipe):
    """A generator trained on the data of this run; ``sample`` calls it by ``name``.

    Args:
        name: What its candidates are said to come from.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")] = "trained"


class FixedSection(Section):
    """Atoms and cell that are given; the generator makes the rest.

    Args:
        file: A structure file with one crystal.
        sites: Which of its atoms, such as ``0-3,7`` or ``none``; all where not given.
        cell: Whether its cell is given, too.
    """

    file: Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
    sites: str | None = None
    cell: bool = True

    def read(self) -> Fixed:
        """What is fixed."""
        return read_fixed(self.file, self.sites, cell=self.cell)


class SampleSection(Section):
    """One generator and what is asked of it.

    Args:
        model: A shipped model, a generator, a folder of a trained one, or the name of what ``train`` trains.
        n: How many structures.
        formula: Exact composition up to a whole multiple.
        chemical_system: Exactly these elements, joined by hyphens.
        n_atoms: Atoms in the primitive cell.
        space_group: International number.
        target: Wanted property values by property name.
        fixed: Atoms and cell that are given.
        text: What is wanted in plain words, for models trained on descriptions.
        constraints: Act inside sampling as ``mask``, ``penalty`` or ``project``; ``roles`` of one limits it to some of
            them, and with ``check`` it also rejects finished samples.
        config: Settings of a generator that is named without weights.
        options: How to sample, as the generator documents.
        candidates: Drawn for each wanted structure; the best is kept, the others are rejected.
        rank_by: What is best: ``energy``, ``relaxed-energy``, ``likelihood``, ``arrangement`` or
            ``surrogate:PROPERTY``.
        symmetrise: Tolerance in Å within which samples are given exact symmetry.
    """

    model: NameOrPath
    n: Count = 100
    formula: str | None = None
    chemical_system: str | None = None
    n_atoms: Count | None = None
    space_group: Annotated[int, Field(ge=1, le=230)] | None = None
    target: dict[str, float] = Field(default={})
    fixed: FixedSection | None = None
    text: str | None = None
    constraints: Acting = Field(default=[])
    config: dict[str, Any] = Field(default={})
    options: dict[str, Any] = Field(default={})
    candidates: Count = 1
    rank_by: str | None = None
    symmetrise: Annotated[float, Field(gt=0, le=1)] | None = None

    def asked(self) -> dict[str, Any]:
        """The fields of a request, by name."""
        fields = {"n", "formula", "chemical_system", "n_atoms", "space_group", "target", "text"}
        asked = self.model_dump(include=fields)
        return asked if self.fixed is None else {**asked, "fixed": self.fixed.read()}


CHECKED = (
    {"min_distance": {"radius_factor": 0.6}},
    "volume_per_atom",
    "elements",
    {"n_elements": {"low": 2, "high": 5}},
    "charge_neutral",
)


class ScreenSection(Section):
    """What a candidate must pass, before and again after relaxation.

    Args:
        constraints: Each needs the role ``check``.
    """

    constraints: Constraints = Field(default=[_constraint(spec) for spec in CHECKED])


class NoveltySection(Section):
    """What counts as known; one's own data always join.

    Args:
        shipped: Compare with the known structures that come with matgen.
        reference: Data sets or structure files of one's own to compare with.
        reject_known: Whether a known structure is rejected; otherwise it stays and is marked.
    """

    shipped: bool = True
    reference: list[Annotated[str, Field(min_length=1), AfterValidator(_absolute)]] = Field(default=[])
    reject_known: bool = True


class PromoteSection(Section):
    """Which candidates are worth a relaxation.

    They are ranked by estimates of their unrelaxed structures, in columns that end in ``_unrelaxed``.

    Args:
        n: How many are relaxed at most.
        objectives: What is sought of ``e_above_hull_unrelaxed``, ``e_form_unrelaxed`` and the predicted properties.
    """

    n: Count = 160
    objectives: list[Objective] = Field(
        default=[
            Objective(property="e_above_hull_unrelaxed", goal="target", low=-0.1, high=0.0, tolerance=0.6, weight=2.0),
            Objective(property="band_gap_unrelaxed", goal="target", low=0.8, high=2.0, tolerance=1.0),
        ],
        min_length=1,
    )


class RelaxSection(Section):
    """How structures are relaxed.

    Args:
        potential: Name of the potential.
        settings: The potential's own settings, for example ``weights``.
        fmax: Largest force of a relaxed structure, eV/Å.
        max_steps: Steps after which a structure counts as unconverged.
        symmetry: Keep the space group.
        seconds: Time limit of one structure, s.
    """

    potential: str = "chgnet"
    settings: dict[str, Any] = Field(default={})
    fmax: Positive = 0.05
    max_steps: Count = 300
    symmetry: bool = False
    seconds: Positive = 300.0

    def spec(self) -> Mapping[str, Any]:
        """Name and settings of the potential."""
        return {"name": self.potential, **self.settings}


class HullSection(Section):
    """Which hull energies are measured from.

    Args:
        reference: A shipped table of reference energies, or the path of one's own.
    """

    reference: NameOrPath = "chgnet-0.3.0"


class PredictSection(Section):
    """Which properties are predicted.

    Args:
        properties: Their names.
        models: Shipped model or folder of one's own, by property; the shipped one where none is named.
    """

    properties: list[str] = Field(default=["band_gap"])
    models: dict[str, NameOrPath] = Field(default={})


class RankSection(Section):
    """What is sought.

    Args:
        objectives: The first counts first in ties.
        floor: Lowest desirability of one objective.
    """

    objectives: list[Objective] = Field(default=list(DEFAULT_OBJECTIVES), min_length=1)
    floor: Annotated[float, Field(ge=0, lt=1)] = FLOOR


class ReportSection(Section):
    """What the report shows.

    Args:
        top: Candidates with a card and a 3-D view.
    """

    top: Annotated[int, Field(ge=0)] = 20
