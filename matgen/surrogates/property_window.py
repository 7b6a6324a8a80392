"""A property within a window, by a surrogate that knows how wrong it may be.

Shapes: S systems, A atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Role, Verdict
from matgen.data.property import find_property
from matgen.errors import ConfigError
from matgen.features.neighbourhood import Neighbourhood
from matgen.features.neighbours import usable
from matgen.surrogates.prediction import default_model, surrogate_for
from matgen.surrogates.storage import read_card, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

    from matgen.surrogates.base import Surrogate

DIFFERENTIABLE = "graph-ensemble"
"""The kind of surrogate whose predictions have a gradient in positions and cell."""

FARTHEST = 1e4
"""Standard deviations beyond which a limit is as good as none; an infinite one has no gradient."""

BROKEN = "the cell is degenerate or not finite"

STRANGE = 1.0
"""Penalty of a structure unlike the training data, where those are demanded; no gradient leads away from there."""


@CONSTRAINTS.register("property_window")
@dataclass(frozen=True)
class PropertyWindow(Constraint):
    """A surrogate expects a property to lie in a window, with at most a stated risk that it does not.

    The surrogate's error is taken as normal with its calibrated standard deviation, so that P = Φ((high - μ)/σ) -
    Φ((low - μ)/σ) must be at least 1 - risk. The calibration is split-conformal at 90 % on held-out data (Lei et al.,
    J. Am. Stat. Assoc. 113, 1094, 2018) and holds for structures like those; others do not pass, unless told so. It
    is the surrogate's word: what passes is predicted, not measured.

    The score is P. The penalty, for graph ensembles only, is max(0, ln(1 - risk) - ln P), differentiable through μ; a
    structure unlike the training data adds 1.

    Args:
        property: Name of a property.
        low: Lower end of the window in the property's unit; None for no limit.
        high: Upper end; None for no limit.
        risk: Largest allowed probability that the property lies outside, between 0 and 1.
        model: Trained surrogate, by name or folder; the shipped one of the property if not given.
        only_known: Whether structures unlike the training data fail.
    """

    name: ClassVar[str] = "property_window"
    settling: ClassVar[int] = 3  # each takes a network forth and back, and most of what helps is done by then

    property: str
    low: float | None = None
    high: float | None = None
    risk: float = 0.1
    model: str | None = None
    only_known: bool = True

    def __post_init__(self) -> None:
        find_property(self.property)
        low, high = self._window()
        if not low < high or not np.isfinite([low, high]).any() or not 0 < self.risk < 1:
            raise ConfigError(
                f"low={self.low}, high={self.high}, risk={self.risk}.",
                where=self.name,
                fix="Give low, high or both, with low < high, and a risk between 0 and 1.",
            )
        if self._card()["property"] != self.property:
            raise ConfigError(
                f"the model predicts {self._card()['property']!r}, not {self.property!r}.", where=f"{self.name}.model"
            )

    def available(self) -> tuple[Role, ...]:
        """A penalty only where the surrogate is a graph network."""
        return self.roles() if self._card()["surrogate"] == DIFFERENTIABLE else ("check",)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the property lies in the window with the wanted probability."""
        whole = [usable(s.frac_coords, s.lattice.matrix) for s in structures]
        found = self._surrogate().predict([s for s, ok in zip(structures, whole, strict=True) if ok])
        logs = _log_inside(found.mean, found.std, *self._window())
        judged = iter(zip(logs.tolist(), found.mean, found.std, found.in_domain, strict=True))
        rows = [next(judged) if ok else None for ok in whole]
        reasons = [self._reason(*row) if row else f"{BROKEN}, so nothing can be predicted" for row in rows]
        return Verdict.of([float(np.exp(row[0])) if row else 0.0 for row in rows], reasons)

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) ``max(0, ln(1 - risk) - ln P)``, and 1 more unlike the training data."""
        import torch

        from matgen.surrogates.graph import GraphEnsemble

        self.require_role("penalty")
        surrogate = self._surrogate()
        assert isinstance(surrogate, GraphEnsemble)  # noqa: S101
        whole = torch.from_numpy(Neighbourhood.of(batch).usable)
        penalty = batch.cell.new_full((len(whole),), STRANGE)
        if not whole.any():
            return penalty
        mean, std, known = surrogate.predict_tensors(batch if whole.all() else _only(batch, whole))
        low, high = (mean.new_tensor(x) for x in self._window())
        missing = (np.log1p(-self.risk) - log_inside((low - mean) / std, (high - mean) / std)).clamp_min(0)
        strange = ~known if self.only_known else torch.zeros_like(known)
        return penalty.masked_scatter(whole, (missing + STRANGE * strange).to(penalty))

    def _window(self) -> tuple[float, float]:
        return (-np.inf if self.low is None else self.low, np.inf if self.high is None else self.high)

    def _card(self) -> dict[str, Any]:
        return _card(self.property, self.model)

    def _surrogate(self) -> Surrogate:
        return _loaded(self.property, self.model)

    def _reason(self, log: float, mean: float, std: float, known: bool) -> str | None:
        words = find_property(self.property)
        unit = f" {words.unit}" if words.unit else ""
        if self.only_known and not known:
            return (
                f"the {words.label.lower()} cannot be predicted with a known error: the model has seen nothing like it"
            )
        if log >= np.log1p(-self.risk):
            return None
        return (
            f"the predicted {words.label.lower()} of {mean:.3g} ± {std:.2g}{unit} lies {self._between(unit)} with a "
            f"probability of {np.exp(log):.0%}, wanted {1 - self.risk:.0%}"
        )

    def _between(self, unit: str) -> str:
        if self.low is None:
            return f"below {self.high:g}{unit}"
        return f"above {self.low:g}{unit}" if self.high is None else f"between {self.low:g} and {self.high:g}{unit}"


def log_inside(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """ln(Φ(high) - Φ(low)) for standardised limits low < high, accurate and with a gradient far in either tail."""
    import torch

    low, high = low.clamp(-FARTHEST, FARTHEST), high.clamp(-FARTHEST, FARTHEST)
    # Mirrored to the lower tail, where the logarithms of Φ differ.
    flip = low + high > 0
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return upper + torch.log1p(-torch.exp((lower - upper).clamp_max(-1e-12)))


def _only(batch: Batch, kept: torch.Tensor) -> Batch:
    """The systems of a batch that are kept (S,)."""
    import torch
    from torch_geometric.data import Batch

    atoms, sizes = kept[batch.batch], batch.ptr.diff()[kept]
    return Batch(
        batch=torch.repeat_interleave(torch.arange(len(sizes)), sizes),
        ptr=torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]),
        numbers=batch.numbers[atoms],
        frac=batch.frac[atoms],
        cell=batch.cell[kept],
    )


def _log_inside(mean: np.ndarray, std: np.ndarray, low: float, high: float) -> np.ndarray:
    import torch

    m, s = torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(std, dtype=torch.float64)
    found: np.ndarray = log_inside((low - m) / s, (high - m) / s).numpy()
    return found


@lru_cache(maxsize=8)
def _loaded(prop: str, model: str | None) -> Surrogate:
    return surrogate_for(prop, model)


@lru_cache(maxsize=8)  # samplers ask in every step which roles there are
def _card(prop: str, model: str | None) -> dict[str, Any]:
    name = model or default_model(prop)
    return shipped().get(name) or read_card(Path(name))
