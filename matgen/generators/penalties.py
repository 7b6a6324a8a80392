"""Penalties of constraints in the training loss, on the crystals that a network expects at the end of its path.

Shapes: S systems, A atoms (padded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from matgen.constraints.specification import build_constraints
from matgen.errors import ConfigError, did_you_mean
from matgen.generators.guidance import batch_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from matgen.constraints.base import Constraint

BEGIN = 0.5
"""Time from which expected crystals are good enough to be judged."""


@dataclass(frozen=True)
class Penalties:
    """A weighted sum of penalties.

    L = Σ_c w_c mean_s p_c(x̂_s), with x̂ the crystal expected from a state at time t, over systems with t > 0.5. Elements
    are those of the data; ``charge_neutral`` sees the network's probabilities of those that are hidden from it.

    Args:
        terms: Constraints that can act as a penalty, with weights.
    """

    terms: tuple[tuple[Constraint, float], ...] = ()

    @classmethod
    def of(cls, specs: Sequence[Mapping[str, Any]]) -> Penalties:
        """From entries such as ``{"constraint": {"min_distance": {"radius_factor": 0.6}}, "weight": 0.1}``.

        Raises:
            ConfigError: An unknown key or constraint, a constraint without a penalty, or no positive weight.
        """
        terms = []
        for spec in specs:
            for key in spec:
                if key not in {"constraint", "weight"}:
                    fix = did_you_mean(str(key), ("constraint", "weight"))
                    raise ConfigError(f"there is no setting called {key!r}.", where="penalties", fix=fix)
            weight = spec.get("weight", 1.0)
            if "constraint" not in spec or not isinstance(weight, int | float) or not weight > 0:
                raise ConfigError(
                    f"{dict(spec)} is no penalty.",
                    where="penalties",
                    fix="Write it as in {constraint: min_distance, weight: 0.1}, with a positive weight.",
                )
            (constraint,) = build_constraints([spec["constraint"]], role="penalty")
            terms.append((constraint, float(weight)))
        return cls(tuple(terms))

    def __call__(
        self,
        numbers: Tensor,
        frac: Tensor,
        basis: Tensor,
        real: Tensor,
        t: Tensor,
        probabilities: Tensor | None = None,
    ) -> Tensor:
        """The scalar L, with gradients to ``frac``, ``basis`` and ``probabilities``.

        Args:
            numbers: (S, A) atomic numbers of the data.
            frac: (S, A, 3) expected coordinates.
            basis: (S, 3, 3) expected cells, Å.
            real: (S, A), False on padding.
            t: (S,) times of the states that they are expected from.
            probabilities: (S, A, Z) of the elements, for penalties on those.
        """
        late = t > BEGIN
        if not self.terms or not late.any():
            return frac.new_zeros(())
        # Distances are differences of nearly equal numbers, which half precision would lose.
        with torch.autocast(frac.device.type, enabled=False):
            batch = batch_of(numbers[late], frac[late].float(), basis[late].float(), real[late])
            if probabilities is not None:
                batch.probabilities = probabilities[late][real[late]].float()
            return torch.stack([w * c.penalty(batch).float().mean() for c, w in self.terms]).sum()
