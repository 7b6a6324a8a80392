"""The part of a crystal's code that holds its chemistry: which elements, how many atoms of each.

What a cell consists of and how it is arranged are learned apart, so that the two can be changed, searched and inherited
apart. Shapes: S systems, C size of the chemical part, D width, E pairs of a system and one of its elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.nn.atoms import AtomTable

if TYPE_CHECKING:
    from torch_geometric.data import Batch

EXCHANGED = 0.5
"""Share of the compositions in a step in which elements are exchanged, and of their elements that are."""

ROUNDS = 8
"""Most steps to the nearest composition; one mends a wrong element or count."""


def element_counts(batch: Batch) -> Tensor:
    """(S, 119) atoms of each element in each crystal."""
    counts = torch.zeros(batch.num_graphs, 119)
    return counts.index_put_((batch.batch, batch.numbers), torch.ones(len(batch.numbers)), accumulate=True)


class Chemistry(nn.Module):
    """Compositions of cells to codes and back.

    A sum over the elements of a network of each (deep sets, Zaheer et al., arXiv:1703.06114) gives mean and log
    variance; two heads read the shares of the elements and the number of atoms.

    Args:
        code: C.
        max_atoms: Largest cell.
        width: D.
    """

    def __init__(self, code: int, max_atoms: int, width: int = 96) -> None:
        super().__init__()
        self.code = code
        self.atoms = AtomTable(width)
        self.each = nn.Sequential(nn.Linear(width + 2, width), nn.SiLU(), nn.Linear(width, width))
        last = nn.Linear(2 * width, 2 * code)
        self.readout = nn.Sequential(nn.Linear(width + 1, 2 * width), nn.SiLU(), last)
        nn.init.constant_(last.bias[code:], -3.0)  # begin with little noise in the code
        self.shares = nn.Sequential(
            nn.Linear(code, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 119)
        )
        self.size = nn.Sequential(nn.Linear(code, 128), nn.SiLU(), nn.Linear(128, max_atoms + 1))

    def forward(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (S, C) each, from counts (S, 119)."""
        size = counts.sum(1, keepdim=True)
        row, number = counts.nonzero(as_tuple=True)
        count = counts[row, number][:, None]
        each = self.each(torch.cat([self.atoms()[number], count / size[row], count.log()], dim=-1)).float()
        pooled = each.new_zeros(len(counts), each.shape[1]).index_add_(0, row, each)
        mean, log_variance = self.readout(torch.cat([pooled, size.log()], dim=-1)).chunk(2, dim=-1)
        return mean.float(), log_variance.float().clamp(-10, 2)

    def log_shares(self, codes: Tensor) -> Tensor:
        """(S, 119) logarithm of the share of each element, from codes whose first C numbers are the chemical part."""
        return self.shares(codes[:, : self.code]).float().log_softmax(-1)

    def size_logits(self, codes: Tensor) -> Tensor:
        """(S, sizes) scores of the number of atoms, from codes as of :meth:`log_shares`."""
        return self.size(codes[:, : self.code]).float()

    @torch.no_grad()
    def nearest(self, code: Tensor, counts: Tensor, elements: Tensor) -> Tensor:
        """(119,) counts of the composition of so many atoms whose code is nearest, from what the heads read.

        Goes downhill over :func:`neighbours`, so that codes decode to what they were made of even where the heads err.

        Args:
            code: (C,) or longer, whose first C numbers are the chemical part.
            counts: (119,) where to begin.
            elements: (Z,) atomic numbers that may occur.
        """
        for _ in range(ROUNDS):
            found = torch.cat([counts[None], neighbours(counts, elements)])
            best = int((self(found)[0] - code[: self.code]).square().sum(1).argmin())
            if best == 0:
                break
            counts = found[best]
        return counts

    def losses(self, codes: Tensor, counts: Tensor) -> dict[str, Tensor]:
        """Cross entropies of shares and size, of codes as of :meth:`log_shares` and the true counts (S, 119)."""
        size = counts.sum(1)
        return {
            "composition": -(self.log_shares(codes) * counts / size[:, None]).sum(-1).mean(),
            "size": F.cross_entropy(self.size_logits(codes), size.long()),
        }


def neighbours(counts: Tensor, elements: Tensor) -> Tensor:
    """(N, 119) compositions of as many atoms that differ from one in an element, in an atom, or in an order of counts.

    Args:
        counts: (119,).
        elements: (Z,) atomic numbers that may take the place of another.
    """
    present = counts.nonzero()[:, 0]
    found = []
    for number in present:
        renamed = counts.repeat(len(elements), 1)
        renamed[:, number] = 0
        renamed[torch.arange(len(elements)), elements] += counts[number]
        found.append(renamed)
        for other in present[present != number]:
            moved, swapped = counts.clone(), counts.clone()
            moved[number] -= 1
            moved[other] += 1
            swapped[number], swapped[other] = counts[other], counts[number]
            found.append(torch.stack([moved, swapped]))
    return torch.cat(found)


def exchanged(counts: Tensor, elements: Tensor, rng: torch.Generator) -> Tensor:
    """Compositions (S, 119) in part of which elements give way to others, so that unseen combinations have codes too.

    Args:
        counts: (S, 119).
        elements: (119,) how often each element is to come in.
        rng: Of the choice.
    """
    row, number = counts.nonzero(as_tuple=True)
    other = torch.multinomial(elements, len(number), replacement=True, generator=rng)
    touched = torch.rand(len(counts), generator=rng) < EXCHANGED
    gives = touched[row] & (torch.rand(len(number), generator=rng) < EXCHANGED)
    return torch.zeros_like(counts).index_put_(
        (row, torch.where(gives, other, number)), counts[row, number], accumulate=True
    )


def fit_chemistry(
    chemistry: Chemistry, counts: Tensor, elements: Tensor, kl: float, rng: torch.Generator, steps: int, batch: int
) -> None:
    """Train in place on compositions alone, which costs minutes; geometry has no part in it.

    Args:
        chemistry: What is trained.
        counts: (S, 119) of the training data.
        elements: (119,) how often each comes in where elements are exchanged.
        kl: Weight of the divergence from the standard normal, for each nat.
        rng: Of order, noise and exchanges.
        steps: Steps of AdamW.
        batch: Compositions in a step.
    """
    weights = [weight.requires_grad_() for weight in chemistry.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.05)
    for _ in range(steps):
        some = exchanged(counts[torch.randint(len(counts), (batch,), generator=rng)], elements, rng)
        mean, log_variance = chemistry(some)
        losses = chemistry.losses(drawn(mean, log_variance, rng), some)
        loss = losses["composition"] + 0.3 * losses["size"] + kl * divergence(mean, log_variance).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    for weight in weights:
        weight.requires_grad_(False)


def drawn(mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> Tensor:
    """(S, C) codes from the normal distributions of mean and log variance (S, C)."""
    return mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """(C,) mean divergence of each number of the codes from the standard normal, nats."""
    return (mean.square() + log_variance.exp() - log_variance - 1).mean(0) / 2
