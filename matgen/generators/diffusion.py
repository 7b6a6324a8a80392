"""Diffusion on elements, torus coordinates and cell, with the network of the flow.

Coordinates: wrapped-normal score (Jing et al., arXiv:2206.01729; Jiao et al., DiffCSP, arXiv:2309.04475). Cell:
variance-preserving (Ho et al., arXiv:2006.11239). Elements: absorbing D3PM (Austin et al., arXiv:2107.03006). The
network sees the state on the scale of the flow and answers with velocities, so weights of one start the other.

Shapes: S systems, A atoms.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from matgen.constraints.base import INSIDE
from matgen.errors import ConfigError
from matgen.generators.base import GENERATORS
from matgen.generators.dense import Crystals
from matgen.generators.diffusion_sampler import Denoising, denoise, sample_diffusion
from matgen.generators.molecule_box import box_noise, turned_and_told
from matgen.generators.paths import revealed, straight, variance_preserving, wrapped_normal
from matgen.generators.periodic import field_losses
from matgen.generators.spatial import SpatialGenerator
from matgen.generators.words import words_shown

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


SHAPE = 0.1
"""Weight of size and space group under words in the loss."""


@GENERATORS.register("diffusion")
class Diffusion(SpatialGenerator):
    """Diffusion on elements, fractional coordinates and cell with a periodic transformer.

    Settings as of :class:`matgen.generators.periodic.PeriodicGenerator`.
    """

    name = "diffusion"
    conditions = frozenset({"formula", "chemical_system", "n_atoms", "space_group", "target", "fixed", "text"})
    acts = frozenset(INSIDE)
    learns_penalties = True
    learns_words = True

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared errors of the scaled scores, cross entropy of undetermined elements.

        Half of the systems have their composition given, of molecules a part their bonds as well; each condition is
        dropped in part of the systems. Where words are learned, size and space group are read from them too.
        """
        x1 = Crystals.of(batch)
        isolated = batch.isolated if self.molecules else None
        x1, apart = (x1, None) if isolated is None else turned_and_told(x1, isolated, rng)
        s, a = x1.numbers.shape
        t = 1 - torch.rand(s, generator=rng).pow(1.25) * 0.999
        given = torch.rand(s, generator=rng) < 0.5
        given = given if apart is None else given | (apart > 0).any((1, 2))
        shown = given[:, None] | revealed(torch.rand(s, a, generator=rng), t, self.reveal_end)
        drawn = torch.randn(s, a, 3, generator=rng)
        frac, frac_velocity = wrapped_normal(drawn, x1.frac, t)
        if isolated is not None:
            # In a box the path is that of the cell, on the same scale: variance-preserving around the middle.
            boxed, boxed_velocity = straight(box_noise(drawn, x1.real), x1.frac, t)
            whole = isolated[:, None, None]
            frac, frac_velocity = torch.where(whole, boxed, frac), torch.where(whole, boxed_velocity, frac_velocity)
        alpha, sigma = (value[:, None] for value in variance_preserving(t))
        clean = self.standardise(x1.cell, x1.real.sum(1))
        noise = torch.randn(s, 6, generator=rng)
        cell = (alpha * clean + sigma * noise) / (alpha + sigma)
        cell = cell if isolated is None else cell.masked_fill(isolated[:, None], 0.0)
        group, targets = self.group_shown(batch, rng), self.targets_shown(batch, rng)
        numbers = torch.where(shown, x1.numbers, 0)
        words = None if self.words is None else words_shown(batch.words, rng)
        known = {"isolated": isolated, "apart": apart, "words": words}
        predicted = self(numbers, frac, cell, x1.real, t, given, group, targets, **known)
        hidden = x1.real & ~shown
        losses = field_losses(predicted, (frac_velocity, clean - noise), x1, hidden, isolated)
        if self.words is not None and words is not None:
            shape = self.words.loss(words, x1.real.sum(1), batch.space_group, self.prior)
            losses = {**losses, "loss": losses["loss"] + SHAPE * shape, "size_and_group": shape.detach()}
        left, spread = (1 - t)[:, None, None], sigma / (alpha + sigma)
        expected = (frac + left * predicted[0], cell + spread * predicted[1], predicted[2])
        return self.penalised(losses, x1, expected, hidden, t, isolated)

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
            constraints: Act as :func:`matgen.generators.diffusion_sampler.sample_diffusion` says.
            molecules: Whether molecules are drawn; by default where the model has learned nothing else.
            options: Of :class:`matgen.generators.diffusion_sampler.Denoising`; molecules are drawn with a sharpening of
                2 unless it is given, and without corrections.
        """
        for request in requests:
            request.require_honoured_by(self.conditions, self.name)
        if self.draws_molecules(molecules):
            return self.sample_molecules(requests, rng=rng, constraints=constraints, **options)
        return sample_diffusion(self, requests, Denoising(**options), rng=rng, constraints=constraints)

    def molecules_by(self, **options: Any) -> tuple[Advance, float]:
        """Steps for molecules, see :class:`.SpatialGenerator`; without corrections."""
        how = Denoising(**{"sharpening": 2.0, **options})
        if how.corrections:
            raise ConfigError("molecules are drawn without corrections.", where="corrections", fix="Leave it out.")
        how = replace(how, steering=0.0)

        def advance(draws: Sequence[Draws], predict: Predict, masks: Sequence[Constraint]) -> Crystals:
            return denoise(self, draws, predict, how, masks, boxed=True)

        return advance, how.guidance
