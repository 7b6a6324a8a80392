"""Flow matching on elements, torus coordinates and cell, with a periodic transformer.

Coordinates follow geodesics of the torus (Chen & Lipman, arXiv:2302.03660; for crystals FlowMM, arXiv:2406.04713),
the logarithm of the cell's stretch a straight line, elements an absorbing process (arXiv:2407.15595). One network
gives the velocities and the element probabilities. Shapes: S systems, A atoms, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from matgen.constraints.base import INSIDE
from matgen.generators.base import GENERATORS
from matgen.generators.dense import Crystals
from matgen.generators.flow_likelihood import flow_log_prob
from matgen.generators.flow_sampler import Integration, sample_flow
from matgen.generators.paths import pair_noise, revealed, straight, torus
from matgen.generators.periodic import PeriodicGenerator, field_losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.runtime import Streams


@GENERATORS.register("flow")
class Flow(PeriodicGenerator):
    """Flow matching on elements, fractional coordinates and cell with a periodic transformer.

    Settings as of :class:`matgen.generators.periodic.PeriodicGenerator`.
    """

    name = "flow"
    conditions = frozenset({"formula", "chemical_system", "n_atoms", "space_group", "target", "fixed"})
    acts = frozenset(INSIDE)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared velocity errors of coordinates and cell, cross entropy of undetermined elements.

        Half of the systems have their composition given; each condition is dropped in part of the systems.
        """
        x1 = Crystals.of(batch)
        s, a = x1.numbers.shape
        t = 1 - torch.rand(s, generator=rng).pow(1.25) * 0.999
        given = torch.rand(s, generator=rng) < 0.5
        shown = given[:, None] | revealed(torch.rand(s, a, generator=rng), t, self.reveal_end)
        kinds = torch.where(given[:, None], x1.numbers, 0)
        noise = pair_noise(torch.rand(s, a, 3, generator=rng), x1.frac, kinds, x1.real)
        frac, frac_velocity = torus(noise, x1.frac, t)
        sizes = x1.real.sum(1)
        cell, cell_velocity = straight(torch.randn(s, 6, generator=rng), self.standardise(x1.cell, sizes), t)
        group = self.group_shown(batch, rng)
        targets = self.targets_shown(batch, rng)
        numbers = torch.where(shown, x1.numbers, 0)
        predicted = self(numbers, frac, cell, x1.real, t, given, group, targets)
        return field_losses(predicted, (frac_velocity, cell_velocity), x1, x1.real & ~shown)

    def log_prob(self, batch: Batch, *, rng: torch.Generator, steps: int = 25, probes: int = 1) -> Tensor:
        """(S,) log density in nats of coordinates and cell **given** elements and number of atoms.

        Elements follow a discrete process, whose likelihood has no such integral; it is not part of the value, so
        compare crystals of one composition only. The trace is estimated and repeats with ``rng``.

        Args:
            batch: Crystals in reduced cells, as those of a training set are.
            rng: Of the trace's probes.
            steps: From data to noise.
            probes: In each step.
        """
        return flow_log_prob(self, batch, rng, steps, probes)

    def sample_each(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        **options: Any,
    ) -> Batch:
        """One crystal a request; ``options`` are those of :class:`matgen.generators.flow_sampler.Integration`."""
        for request in requests:
            request.require_honoured_by(self.conditions, self.name)
        return sample_flow(self, requests, Integration(**options), rng=rng, constraints=constraints)
