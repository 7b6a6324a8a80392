"""What the flow, the diffusion model and the decoder of the VAE share: network, condition, scales and losses.

One network gives velocities of coordinates and cell, and the probabilities of elements; the families differ in the
noise that it sees and in how it is sampled. Shapes: S systems, A atoms, D width, T targets.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.data.batches import BOX
from matgen.errors import ConfigError
from matgen.features.sentences import SIZE
from matgen.generators.base import Generator
from matgen.generators.molecule_box import UNIT
from matgen.generators.paths import centred
from matgen.generators.penalties import Penalties
from matgen.generators.words import Words, composed_vectors, sentence_vectors
from matgen.nn.transformer import PeriodicTransformer, Towards
from matgen.precision import inference_precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.batches import TrainingSet
    from matgen.data.request import Request
    from matgen.generators.dense import Crystals
    from matgen.runtime import Streams

UNKNOWN_GROUP = 0


class Condition(nn.Module):
    """What a system is asked to be, as one vector: time, task, size, cell, space group and targets.

    A target that is not given adds nothing, so a model without targets and one with all of them absent agree.
    """

    waves: Tensor

    def __init__(self, width: int, max_atoms: int, targets: int, molecules: bool = False) -> None:
        super().__init__()
        self.register_buffer("waves", pi * 2.0 ** torch.arange(8), persistent=False)
        self.time = nn.Sequential(nn.Linear(17, width), nn.SiLU(), nn.Linear(width, width))
        self.cell = nn.Sequential(nn.Linear(6, width), nn.SiLU(), nn.Linear(width, width))
        self.size = nn.Embedding(max_atoms + 1, width)
        self.task = nn.Embedding(2, width)
        self.space_group = nn.Embedding(231, width)
        self.targets = nn.ModuleList(
            nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width, bias=False)) for _ in range(targets)
        )
        self.isolated = nn.Parameter(torch.zeros(width)) if molecules else None

    def forward(
        self,
        t: Tensor,
        cell: Tensor,
        given: Tensor,
        size: Tensor,
        group: Tensor,
        targets: Tensor,
        isolated: Tensor | None = None,
    ) -> Tensor:
        """(S, D).

        Args:
            t: (S,) time.
            cell: (S, 6) standardised cell at time t.
            given: (S,) whether the composition is given.
            size: (S,) number of atoms.
            group: (S,) space-group number, 0 where not given.
            targets: (S, T) standardised, NaN where not given.
            isolated: (S,) which systems are molecules; None where none is.
        """
        phase = t[:, None] * self.waves
        h = self.time(torch.cat([t[:, None], phase.sin(), phase.cos()], dim=-1)) + self.cell(cell)
        h = h + self.size(size) + self.task(given.long()) + self.space_group(group)
        for value, embed in zip(targets.unbind(1), self.targets, strict=True):
            known = ~value.isnan()
            pair = torch.stack([value.nan_to_num(), known.to(value.dtype)], dim=-1)
            h = h + embed(pair) * known[:, None]
        if isolated is not None and self.isolated is not None:
            h = h + self.isolated * isolated[:, None]
        return h


class PeriodicGenerator(Generator):
    """A generator on elements, fractional coordinates and cell with a periodic transformer.

    Args:
        width, layers, heads, channels: Size of the :class:`PeriodicTransformer`.
        max_atoms: Largest cell.
        targets: Properties that can be asked for.
        reveal_end: Time at which all elements are known.
        molecules: Whether molecules are learned, alone or together with crystals.
        words: Whether it learns to be asked in plain words, see :class:`matgen.generators.words.Words`.
        penalties: Constraints whose penalties join the loss, as :meth:`.Penalties.of` reads them.
        own: Further settings of the family.
    """

    steered_by_targets: ClassVar[bool] = True
    learns_molecules: ClassVar[bool] = False
    learns_penalties: ClassVar[bool] = False
    learns_words: ClassVar[bool] = False
    cell_mean: Tensor
    cell_std: Tensor
    target_mean: Tensor
    target_std: Tensor
    prior: Tensor
    elements: Tensor
    molecule_sizes: Tensor
    molecule_elements: Tensor

    def __init__(
        self,
        width: int = 256,
        layers: int = 6,
        heads: int = 8,
        channels: int = 32,
        max_atoms: int = 20,
        targets: Sequence[str] = (),
        reveal_end: float = 0.75,
        molecules: bool = False,
        words: bool = False,
        penalties: Sequence[Mapping[str, Any]] = (),
        **own: Any,
    ) -> None:
        targets = list(targets)
        if penalties and not self.learns_penalties:
            raise ConfigError(f"the loss of {self.name!r} has no penalties.", where="penalties", fix="Use 'flow'.")
        if molecules and not self.learns_molecules:
            raise ConfigError(f"the generator {self.name!r} learns no molecules.", where="molecules", fix="Use 'flow'.")
        if words and not self.learns_words:
            raise ConfigError(f"the generator {self.name!r} learns no words.", where="words", fix="Use 'diffusion'.")
        # Cards from before there were molecules or words stay as they are.
        own = {**own, "words": True} if words else own
        own = {**own, "molecules": True} if molecules else own
        own = {**own, "penalties": [dict(entry) for entry in penalties]} if penalties else own
        super().__init__(
            width=width,
            layers=layers,
            heads=heads,
            channels=channels,
            max_atoms=max_atoms,
            targets=targets,
            reveal_end=reveal_end,
            **own,
        )
        self.max_atoms, self.targets, self.reveal_end, self.molecules = max_atoms, targets, reveal_end, molecules
        self.penalties = Penalties.of(penalties)
        self.backbone = PeriodicTransformer(width, layers, heads, channels, molecules)
        self.condition = Condition(width, max_atoms, len(targets) if self.steered_by_targets else 0, molecules)
        self.words = Words(width, max_atoms) if words else None
        self.coordinate_head = nn.Linear(width, 3)
        self.towards = Towards(width, channels) if molecules else None
        self.cell_head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 6))
        self.register_buffer("cell_mean", torch.zeros(6))
        self.register_buffer("cell_std", torch.ones(6))
        self.register_buffer("target_mean", torch.zeros(len(targets)))
        self.register_buffer("target_std", torch.ones(len(targets)))
        self.register_buffer("prior", torch.zeros(max_atoms + 1, 231))
        self.register_buffer("elements", torch.zeros(119))
        if molecules:
            self.register_buffer("molecule_sizes", torch.zeros(max_atoms + 1))
            self.register_buffer("molecule_elements", torch.zeros(119))

    def gather(self, sources: Sequence[str | Path], exclude: str | Path | None) -> tuple[pd.DataFrame, TrainingSet]:
        """As of :class:`Generator`; with descriptions of the structures, where the model learns words."""
        if self.words is None:
            return super().gather(sources, exclude)
        from matgen.data.batches import TrainingSet
        from matgen.generators.training import eligible_structures

        table, structures = eligible_structures(sources, exclude, self.max_atoms, self.targets)
        data = TrainingSet.build(structures, {name: table[name] for name in self.targets})
        told = {name: table[name].to_numpy(float) for name in ("band_gap", "e_form") if name in table}
        data.system["words"] = composed_vectors(structures, data.system["space_group"], told)
        return table, data

    def prepare(self, data: TrainingSet) -> None:
        """Take from the training data what is not learned by gradient.

        Scales of cell and targets, joint counts of size and space group, and which elements occur.
        """
        from matgen.nn.cell import log_stretch

        isolated = data.isolated
        if isolated.any() and not self.molecules:
            raise ConfigError("the data hold molecules.", where="config", fix="Set molecules: true, or leave them out.")
        for i, name in enumerate(self.targets):
            known = data.system[name][~data.system[name].isnan()]
            self.target_mean[i], self.target_std[i] = known.mean(), known.std().clamp_min(1e-6)
        self.elements.copy_(torch.bincount(data.numbers, minlength=119).float())
        if self.molecules:
            whole = torch.repeat_interleave(isolated, data.sizes)
            self.molecule_sizes.copy_(torch.bincount(data.sizes[isolated], minlength=self.max_atoms + 1).float())
            self.molecule_elements.copy_(torch.bincount(data.numbers[whole], minlength=119).float())
        if isolated.all():
            return
        sizes = data.sizes[~isolated]
        cells = log_stretch(data.cell[~isolated].double()).float() - self._size_shift(sizes)
        self.cell_mean.copy_(cells.mean(0))
        self.cell_std.copy_(cells.std(0).nan_to_num().clamp_min(1e-3))
        groups = data.system["space_group"][~isolated]
        self.prior.index_put_((sizes, groups), torch.ones(len(sizes)), accumulate=True)
        if self.words is not None and "words" in data.system:
            self.words.fit(data, self.prior, self.elements)

    def forward(
        self,
        numbers: Tensor,
        frac: Tensor,
        cell: Tensor,
        real: Tensor,
        t: Tensor,
        given: Tensor,
        group: Tensor,
        targets: Tensor,
        steer: Tensor | None = None,
        isolated: Tensor | None = None,
        words: Tensor | None = None,
        apart: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Velocity of coordinates (S, A, 3), of the standardised cell (S, 6), and element logits (S, A, 119).

        Args:
            numbers: (S, A), 0 where undetermined.
            frac: (S, A, 3).
            cell: (S, 6) standardised.
            real: (S, A).
            t: (S,).
            given: (S,) whether the composition is given.
            group: (S,) space-group number, 0 where not given.
            targets: (S, T) standardised, NaN where not given.
            steer: (S, D) joins the condition, for example a projected latent code.
            isolated: (S,) which systems are molecules, whose cell is the box; None where none is.
            words: (S, E) vectors of sentences, zero where not given; None where none is.
            apart: (S, A, A) bonds between two atoms of a molecule, 0 where not told; None where none are known.
        """
        sizes = real.sum(1)
        condition = self.condition(t, cell, given, sizes, group, targets, isolated)
        condition = condition if steer is None else condition + steer
        said = None if words is None or self.words is None else self.words(words)
        condition = condition if said is None else condition + said[0]
        with inference_precision(frac.device):
            basis = self._basis(cell, sizes, isolated)
            h, pairs = self.backbone(numbers, frac, basis, real, condition, isolated, apart)
            turning = None if self.towards is None else self.towards(h, pairs, frac, BOX, real)
        pooled = (h * real[..., None]).sum(1) / sizes[:, None]
        velocity = self.coordinate_head(h).float()
        if isolated is not None and turning is not None:
            whole = isolated[:, None, None]
            velocity = (velocity + turning * whole) * torch.where(whole, UNIT, 1.0)
        velocity = centred(velocity, real)
        logits = self.backbone.element_logits(h).float()
        logits = logits if said is None else logits + said[1][:, None]
        return velocity, self.cell_head(pooled).float(), logits

    def sizes_and_groups(self, request: Request) -> Tensor:
        """(sizes, groups) weights of the number of atoms and the space group: their counts, under words what those say.

        Raises:
            ConfigError: Words are asked of a model that learned none.
        """
        vectors = self.vectors_of([request])
        if vectors is None or self.words is None:
            return self.prior
        with torch.no_grad():
            found: Tensor = self.words.joint(vectors, self.prior)[0].exp()
        return found

    def vectors_of(self, requests: Sequence[Request]) -> Tensor | None:
        """(S, E) vectors of what is asked in words, zero where nothing is; None where no request has words.

        Raises:
            ConfigError: The model learned no words.
        """
        if all(request.text is None for request in requests):
            return None
        if self.words is None:
            fix = "Use 'diffusion-text-mp20', or --wish, which turns words into a typed request."
            raise ConfigError("this model was not trained on words.", where="text", fix=fix)
        nothing = torch.zeros(SIZE)
        return torch.stack([nothing if r.text is None else sentence_vectors([r.text])[0] for r in requests])

    def _basis(self, cell: Tensor, sizes: Tensor, isolated: Tensor | None) -> Tensor:
        """(S, 3, 3) cells in Å; those of molecules are boxes."""
        from matgen.nn.cell import stretch

        basis = stretch(self.restore(cell, sizes))
        if isolated is None:
            return basis
        return torch.where(isolated[:, None, None], torch.eye(3, device=basis.device) * BOX, basis)

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` crystals; see :meth:`sample_each`."""
        return self.sample_each([request] * request.n, rng=rng, constraints=constraints, **options)

    def penalised(
        self,
        losses: dict[str, Tensor],
        x1: Crystals,
        expected: tuple[Tensor, Tensor, Tensor],
        hidden: Tensor,
        t: Tensor,
        isolated: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The losses with the penalties of the expected crystals, where there are any; molecules have none.

        Args:
            losses: As :func:`field_losses` gives them.
            x1: The data.
            expected: Coordinates (S, A, 3), standardised cell (S, 6) and element logits (S, A, 119) at the end of
                the path.
            hidden: (S, A) atoms whose element the network did not see.
            t: (S,) where on the path they are expected from.
            isolated: (S,) which systems are molecules; None where none is.
        """
        if not self.penalties.terms:
            return losses
        from matgen.nn.cell import stretch

        frac, cell, logits = expected
        certain = F.one_hot(x1.numbers, logits.shape[-1]).to(logits)
        chances = torch.where(hidden[..., None], logits.softmax(-1), certain)
        when = t if isolated is None else torch.where(isolated, 0.0, t)
        basis = stretch(self.restore(cell, x1.real.sum(1)))
        penalty = self.penalties(x1.numbers, frac, basis, x1.real, when, chances)
        return {**losses, "loss": losses["loss"] + penalty, "penalty": penalty.detach()}

    def group_shown(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """(S,) space groups, forgotten in half of the systems."""
        return torch.where(torch.rand(batch.num_graphs, generator=rng) < 0.5, batch.space_group, UNKNOWN_GROUP)

    def targets_shown(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """(S, T) standardised targets, each forgotten (NaN) in half of the systems."""
        shown = torch.rand(batch.num_graphs, len(self.targets), generator=rng) < 0.5
        return self.targets_of(batch).where(shown, torch.nan)

    def targets_of(self, batch: Batch) -> Tensor:
        """(S, T) standardised targets, NaN where unknown."""
        values = [batch[name].float() for name in self.targets]
        stacked = torch.stack(values, 1) if values else torch.zeros(batch.num_graphs, 0)
        return (stacked - self.target_mean) / self.target_std

    def standardise(self, cell: Tensor, sizes: Tensor) -> Tensor:
        """(S, 6) cell numbers with the size's share removed, then scaled to unit variance."""
        return (cell - self._size_shift(sizes) - self.cell_mean) / self.cell_std

    def restore(self, cell: Tensor, sizes: Tensor) -> Tensor:
        """Inverse of :meth:`standardise`, kept within 5 standard deviations so that early noise stays a cell."""
        return cell.clamp(-5, 5) * self.cell_std + self.cell_mean + self._size_shift(sizes)

    @staticmethod
    def _size_shift(sizes: Tensor) -> Tensor:
        # A cell of A atoms is about A^(1/3) times longer along each axis: ln A / 3 on the diagonal of log P.
        on_diagonal = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], device=sizes.device)
        return sizes.float().log()[:, None] / 3 * on_diagonal


def field_losses(
    predicted: tuple[Tensor, Tensor, Tensor],
    velocities: tuple[Tensor, Tensor],
    x1: Crystals,
    hidden: Tensor,
    isolated: Tensor | None = None,
) -> dict[str, Tensor]:
    """Squared velocity errors of coordinates and cell, cross entropy of undetermined elements, and their sum.

    Args:
        predicted: Velocity of coordinates (S, A, 3), of the cell (S, 6), element logits (S, A, 119).
        velocities: What the first two should be.
        x1: The data.
        hidden: (S, A) atoms whose element the network did not see.
        isolated: (S,) which systems are molecules, which have no cell; None where none is.
    """
    v_frac, v_cell, logits = predicted
    miss = v_frac - centred(velocities[0], x1.real)
    wrong = (v_cell - velocities[1]).square()
    if isolated is not None:
        miss = miss / torch.where(isolated, UNIT, 1.0)[:, None, None]
        wrong = wrong * ~isolated[:, None]
    coordinate = (miss.square().sum(-1) * x1.real).sum() / x1.real.sum() * 4
    shape = wrong.mean() / 2
    element = F.cross_entropy(logits[hidden], x1.numbers[hidden], reduction="sum") / hidden.sum().clamp_min(1)
    return {
        "loss": 2.0 * coordinate + 0.5 * shape + 0.2 * element,
        "coordinate": coordinate.detach(),
        "cell": shape.detach(),
        "element": element.detach(),
    }
