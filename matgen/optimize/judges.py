"""Judges that tell which of several candidates is best: a potential's energy, a likelihood, a surrogate.

Shapes: n candidates.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from matgen.data.property import find_property
from matgen.data.structures import pack, to_batch, unpack
from matgen.errors import ConfigError, MatgenError, did_you_mean
from matgen.execution import Pool
from matgen.generators.arrangement import arrangement_margin
from matgen.optimize.spaces.realisation import loaded
from matgen.stability.hull import hull
from matgen.stability.relaxation import relax, single_point
from matgen.surrogates.prediction import surrogate_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row

NAMES = ("energy", "relaxed-energy", "likelihood", "arrangement", "surrogate:PROPERTY")

STEPS, FMAX = 60, 0.1
"""Relaxation steps, and eV/Å, that suffice to tell candidates apart."""


class Judge(ABC):
    """Scores candidates; small is good.

    Args:
        name: As the user spelled it.
    """

    name: str

    @abstractmethod
    def scores(self, candidates: Candidates, executor: Executor | None) -> np.ndarray:
        """(n,) scores; NaN where there is none."""


@dataclass(frozen=True)
class Energy(Judge):
    """CHGNet's energy above the reference hull (eV/atom), which also orders structures of one composition.

    Args:
        name: As spelled.
        relaxed: After at most :data:`STEPS` steps of relaxation, or of the structure as it is. The structures
            themselves stay as the generator made them.
        potential: Name of the potential.
        reference: Table of reference energies.
    """

    name: str
    relaxed: bool
    potential: str = "chgnet"
    reference: str = "chgnet-0.3.0"

    def scores(self, candidates: Candidates, executor: Executor | None) -> np.ndarray:
        """(n,) eV/atom; NaN for what the potential must not be asked about."""
        bare = type(candidates)(candidates.table[["id"]], candidates.structures)
        if self.relaxed:
            done = relax(bare, self.potential, fmax=FMAX, max_steps=STEPS, executor=executor)
            found = hull(done, self.reference).table.set_index("id")["e_above_hull"]
        else:
            done = single_point(bare, self.potential, executor=executor)
            judged = hull(done, self.reference, energies="energy_unrelaxed")
            found = judged.table.set_index("id")["e_above_hull_unrelaxed"]
        return found.reindex(candidates.table["id"]).to_numpy(dtype=float)


@dataclass(frozen=True)
class Likelihood(Judge):
    """Minus the log density per atom that a generator gives a structure (nats/atom).

    Args:
        name: As spelled.
        model: A generator with ``log_prob``.
        config: Its settings, where it is named without weights.
        arranged: Relative to the same sites with the elements permuted, see
            :func:`matgen.generators.arrangement.arrangement_margin`, which compositions do not shift.
    """

    name: str
    model: str
    config: str = "{}"
    arranged: bool = False

    def scores(self, candidates: Candidates, executor: Executor | None) -> np.ndarray:
        """(n,) nats/atom; NaN for structures that the generator cannot read, and arrangements of one element."""
        packed = pack(candidates.structures)
        items = [dict(zip(packed, values, strict=True)) for values in zip(*packed.values(), strict=True)]
        how = {"model": self.model, "config": self.config, "arranged": self.arranged}
        work = [{**how, "structure": item} for item in items]
        rows = (executor or Pool()).map(surprise, work, name="likelihood", shard=16)
        return np.array([row.get("surprise", np.nan) for row in rows], dtype=float)


@dataclass(frozen=True)
class Predicted(Judge):
    """A surrogate's prediction, in the direction in which the property is better, or its distance to a wanted value.

    Args:
        name: As spelled.
        prop: Property.
        goal: ``low``, ``high`` or a value.
    """

    name: str
    prop: str
    goal: str | float

    def scores(self, candidates: Candidates, executor: Executor | None) -> np.ndarray:
        """(n,) in the property's unit."""
        mean = np.asarray(surrogate_for(self.prop).predict(candidates.structures).mean, dtype=float)
        if isinstance(self.goal, float):
            return np.abs(mean - self.goal)
        return mean if self.goal == "low" else -mean


def judge_of(spelling: str, model: str, config: Mapping[str, Any] | None = None, *, same_formula: bool = True) -> Judge:
    """The judge that a user names.

    Args:
        spelling: ``energy`` (CHGNet, above the reference hull, of the structure as it is), ``relaxed-energy`` (after a
            short relaxation), ``likelihood`` (of the generator, or ``likelihood:MODEL`` of another one),
            ``arrangement`` (likewise, against permuted elements, so of any compositions) or
            ``surrogate:PROPERTY``, with ``:low``, ``:high`` or ``:VALUE`` after it where the property alone does not
            tell what is better.
        model: The generator.
        config: Its settings.
        same_formula: Whether all candidates of one wanted structure have one composition.

    Raises:
        ConfigError: No such judge, or one that cannot compare these candidates.
    """
    kind, *rest = spelling.split(":")
    if kind in ("energy", "relaxed-energy") and not rest:
        return Energy(spelling, relaxed=kind == "relaxed-energy")
    if kind in ("likelihood", "arrangement") and len(rest) < 2:
        return _likelihood(spelling, rest[0] if rest else model, {} if rest else config or {}, same_formula)
    if kind == "surrogate" and 0 < len(rest) < 3:
        surrogate_for(rest[0])
        return Predicted(spelling, rest[0], _goal(rest, spelling))
    raise ConfigError(f"there is no judge {spelling!r}.", where="rank_by", fix=did_you_mean(spelling, NAMES))


def surprise(items: Sequence[Row]) -> list[Row]:
    """Worker: minus the log density per atom of packed structures, or the reason why there is none."""
    return [_surprise(item) for item in items]


def _surprise(item: Row) -> Row:
    generator = loaded(item["model"], item["config"])
    structure = unpack({name: [value] for name, value in item["structure"].items()})[0]
    batch = to_batch([structure.get_reduced_structure("niggli")])
    density_of: Any = generator.log_prob
    estimated = "rng" in signature(density_of).parameters

    def density(given: Batch) -> Tensor:
        # The trace of each candidate is estimated by the same probes.
        options = {"rng": torch.Generator().manual_seed(0)} if estimated else {}
        found: Tensor = density_of(given, **options)
        return found

    try:
        if item["arranged"]:
            value = float(arrangement_margin(density, batch, torch.Generator().manual_seed(0))[0])
        else:
            value = float(density(batch)[0]) / len(structure)
    except (MatgenError, ValueError, IndexError) as error:
        return {"error": " ".join(str(error).split())}
    return {"surprise": -value} if np.isfinite(value) else {"error": "the density is not finite"}


def _likelihood(spelling: str, model: str, config: Mapping[str, Any], same_formula: bool) -> Likelihood:
    arranged = spelling.startswith("arrangement")
    spelled = json.dumps(dict(config), sort_keys=True)
    if not hasattr(loaded(model, spelled), "log_prob"):
        fix = f"Name one that has: {spelling.split(':')[0]}:flow-mp20."
        raise ConfigError(f"the generator {model!r} has no likelihood.", where="rank_by", fix=fix)
    if not same_formula and not arranged:
        what = "likelihoods compare structures of one composition only."
        raise ConfigError(what, where="rank_by", fix="Give a formula, or rank by arrangement or energy.")
    return Likelihood(spelling, model, spelled, arranged)


def _goal(rest: Sequence[str], spelling: str) -> str | float:
    said = rest[1] if len(rest) > 1 else find_property(rest[0]).better
    if said in ("low", "high"):
        return str(said)
    try:
        return float(said)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        fix = f"Write {':'.join(['surrogate', rest[0], 'low'])}, high, or a wanted value in its place."
        raise ConfigError(f"{spelling!r} does not say which values are better.", where="rank_by", fix=fix) from None
