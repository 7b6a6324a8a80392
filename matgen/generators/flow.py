"""Flow matching on elements, torus coordinates and cell, with a periodic transformer.

Coordinates follow geodesics of the torus (Chen & Lipman, arXiv:2302.03660; for crystals FlowMM, arXiv:2406.04713),
the logarithm of the cell's stretch a straight line, elements an absorbing process (arXiv:2407.15595). One network
gives the velocities and the element probabilities. Shapes: S systems, A atoms, D width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from matgen.constraints.base import INSIDE
from matgen.data.batches import BOX
from matgen.generators.base import GENERATORS
from matgen.generators.dense import Crystals
from matgen.generators.flow_likelihood import flow_log_prob
from matgen.generators.flow_sampler import Integration, integrate, sample_flow
from matgen.generators.molecule_box import NOISE, aligned, box_noise, turned_and_told
from matgen.generators.paths import pair_noise, revealed, straight, torus
from matgen.generators.periodic import field_losses
from matgen.generators.spatial import SpatialGenerator
from matgen.precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.drawing import Draws
    from matgen.generators.flow_sampler import Predict
    from matgen.generators.molecule_sampler import Advance
    from matgen.runtime import Streams


@GENERATORS.register("flow")
class Flow(SpatialGenerator):
    """Flow matching on elements, fractional coordinates and cell with a periodic transformer.

    Settings as of :class:`matgen.generators.periodic.PeriodicGenerator`.
    """

    name = "flow"
    conditions = frozenset({"formula", "chemical_system", "n_atoms", "space_group", "target", "fixed"})
    acts = frozenset(INSIDE)
    learns_penalties = True

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared velocity errors of coordinates and cell, cross entropy of undetermined elements.

        Half of the systems have their composition given, of molecules a part their bonds as well; each condition is
        dropped in part of the systems. Molecules are seen at later times more often, when their bonds settle.
        """
        x1 = Crystals.of(batch)
        isolated = batch.isolated if self.molecules else None
        x1, apart = (x1, None) if isolated is None else turned_and_told(x1, isolated, rng)
        s, a = x1.numbers.shape
        late = 1.25 if isolated is None else torch.where(isolated, 2.0, 1.25)
        t = 1 - torch.rand(s, generator=rng).pow(late) * 0.999
        given = torch.rand(s, generator=rng) < 0.5
        kinds = torch.where(given[:, None], x1.numbers, 0)
        if apart is not None:  # bonds tell atoms of one element apart
            told = (apart > 0).any(-1)
            given = given | told.any(1)
            kinds = torch.where(told, torch.arange(1, a + 1), kinds)
        shown = given[:, None] | revealed(torch.rand(s, a, generator=rng), t, self.reveal_end)
        with full_precision(x1.frac.device):
            noise = self._noise(x1, kinds, isolated, rng)
        frac, frac_velocity = torus(noise, x1.frac, t)
        sizes = x1.real.sum(1)
        cell, cell_velocity = straight(torch.randn(s, 6, generator=rng), self.standardise(x1.cell, sizes), t)
        if isolated is not None:
            cell = cell.masked_fill(isolated[:, None], 0.0)
        group = self.group_shown(batch, rng)
        targets = self.targets_shown(batch, rng)
        numbers = torch.where(shown, x1.numbers, 0)
        predicted = self(numbers, frac, cell, x1.real, t, given, group, targets, isolated=isolated, apart=apart)
        hidden = x1.real & ~shown
        losses = field_losses(predicted, (frac_velocity, cell_velocity), x1, hidden, isolated)
        left = (1 - t)[:, None]
        expected = (frac + left[..., None] * predicted[0], cell + left * predicted[1], predicted[2])
        return self.penalised(losses, x1, expected, hidden, t, isolated)

    def _noise(self, x1: Crystals, kinds: Tensor, isolated: Tensor | None, rng: torch.Generator) -> Tensor:
        """(S, A, 3) noise paired with the data: uniform in cells, Gaussian around the middle of boxes."""
        uniform = torch.rand(x1.frac.shape, generator=rng)
        if isolated is None:
            return pair_noise(uniform, x1.frac, kinds, x1.real)
        mine = isolated[:, None, None]
        noise = torch.where(mine, box_noise(torch.randn(x1.frac.shape, generator=rng), x1.real), uniform)
        # Turned before atoms are exchanged and again after it: both shorten the way, neither changes the distribution.
        noise = torch.where(mine, aligned(pair_noise(noise, x1.frac, kinds, x1.real), x1.frac, x1.real), noise)
        return pair_noise(noise, x1.frac, kinds, x1.real)

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
        molecules: bool | None = None,
        **options: Any,
    ) -> Batch:
        """One structure a request.

        Args:
            requests: What is asked of each sample.
            rng: Streams by sample index.
            constraints: Act as :func:`matgen.generators.flow_sampler.sample_flow` says.
            molecules: Whether molecules are drawn; by default where the model has learned nothing else.
            options: Of :class:`matgen.generators.flow_sampler.Integration`. Unless they are given, molecules are drawn
                with annealing of 2 and capped steps.
        """
        for request in requests:
            request.require_honoured_by(self.conditions, self.name)
        if self.draws_molecules(molecules):
            return self.sample_molecules(requests, rng=rng, constraints=constraints, **options)
        return sample_flow(self, requests, Integration(**options), rng=rng, constraints=constraints)

    def molecules_by(self, **options: Any) -> tuple[Advance, float]:
        """Steps for molecules, see :class:`.SpatialGenerator`; ``churn`` is in units of the noise at time 0."""
        how = Integration(**{"annealing": 2.0, "capped": True, **options})
        how = replace(how, churn=how.churn * NOISE / BOX, steering=0.0)

        def advance(draws: Sequence[Draws], predict: Predict, masks: Sequence[Constraint]) -> Crystals:
            return integrate(self, draws, predict, how, masks)

        return advance, how.guidance
