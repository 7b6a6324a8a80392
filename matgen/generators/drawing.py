"""What is random about each sample, and solving samples of similar size together.

Shapes: S systems, A atoms (padded), U atoms of a formula unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.core import Composition, Element
from torch_geometric.data import Batch

from matgen.errors import ConfigError
from matgen.generators.dense import Crystals
from matgen.generators.masks import masking, open_elements
from matgen.generators.occupations import draw_subspace, observed_occupation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from torch_geometric.data import Data

    from matgen.constraints.base import Constraint
    from matgen.constraints.symmetry import SymmetryWish
    from matgen.data.request import Request
    from matgen.features.occupation import Subspace
    from matgen.generators.occupations import Source
    from matgen.generators.periodic import PeriodicGenerator

SELDOM = 0.01
"""Weight of a cell size that the training data do not have in a space group, beside counts of those that they have."""

GROUPS_TRIED = 12
"""Space groups that are tried where several would do."""

CHUNK = 128
"""Samples that are integrated together; fixed, so that results do not depend on shards or workers."""


@dataclass(frozen=True)
class Draws:
    """Everything random about one sample, from its own stream.

    Args:
        request: What is asked of this sample.
        size: A, number of atoms.
        group: Space group that conditions the model, 0 for none.
        numbers: (A,) atomic numbers where the composition is given, else 0.
        frac: (A, 3) uniform.
        cell: (6,) standard normal.
        clock: (A,) uniform, when each element is revealed.
        gumbel: (A, 119) standard Gumbel, which element is chosen.
        stream: The rest of the stream, for the noise of the churned sampler.
        subspace: What the space group that was asked for leaves free.
        apart: (A, A) bonds between two atoms of a molecule whose bonds are given.
    """

    request: Request
    size: int
    group: int
    numbers: np.ndarray
    frac: np.ndarray
    cell: np.ndarray
    clock: np.ndarray
    gumbel: np.ndarray
    stream: np.random.Generator
    subspace: Subspace | None = None
    apart: np.ndarray | None = None


def open_sizes(model: PeriodicGenerator, constraints: Sequence[Constraint]) -> list[int]:
    """Numbers of atoms for which the constraints leave a choice of elements."""
    masks = masking(constraints)
    return [a for a in range(1, model.max_atoms + 1) if not masks or open_elements(a, masks).any()]


def draw(
    model: PeriodicGenerator,
    request: Request,
    stream: np.random.Generator,
    open_sizes: Sequence[int],
    source: Source = observed_occupation,
) -> Draws:
    """Draw size, space group, composition (where given) and noise of one sample.

    Args:
        model: A trained flow.
        request: What is asked.
        stream: The sample's own.
        open_sizes: Numbers of atoms for which the constraints leave a choice of elements.
        source: Of the occupied Wyckoff positions where a space group is asked for.
    """
    unit = formula_unit(request)
    sizes = allowed_sizes(model, request, len(unit), open_sizes)
    if request.space_group is not None:
        return _draw_symmetric(model, request, stream, sizes, source)
    fixed = np.array(request.fixed.numbers if request.fixed else [], dtype=int)
    prior = model.sizes_and_groups(request).cpu().double().numpy()[sizes]
    weights = (prior + 1e-9).ravel() / (prior + 1e-9).sum()
    size_index, group = divmod(int(stream.choice(len(weights), p=weights)), prior.shape[1])
    size = int(sizes[size_index])
    numbers = np.tile(unit, size // len(unit)) if len(unit) else np.zeros(size, dtype=int)
    numbers = np.concatenate([fixed, remaining(numbers, fixed)])
    return Draws(
        request=request,
        size=size,
        group=0 if len(unit) else group,
        numbers=numbers,
        frac=stream.random((size, 3)),
        cell=stream.standard_normal(6),
        clock=stream.random(size),
        gumbel=stream.gumbel(size=(size, 119)),
        stream=stream,
    )


def draw_wished(
    model: PeriodicGenerator,
    request: Request,
    stream: np.random.Generator,
    open_sizes: Sequence[int],
    source: Source,
    wishes: Sequence[SymmetryWish],
) -> Draws:
    """Draw a sample, where symmetry is wished for in one of the space groups that the wishes leave.

    Groups are drawn as often as the training data have them; where one has no place for the request, another is.

    Args:
        model: As for :func:`draw`, as the next three.
        request: What is asked.
        stream: The sample's own.
        open_sizes: Numbers of atoms.
        source: Of occupations that keep the wishes.
        wishes: Those that project.
    """
    if not wishes or request.space_group is not None:
        return draw(model, request, stream, open_sizes, source)
    groups = sorted(frozenset.intersection(*(wish.groups for wish in wishes)))
    weights = model.prior.cpu().double().numpy()[:, groups].sum(0) + SELDOM
    refused = ConfigError("no space group is left.", where=" and ".join(wish.name for wish in wishes))
    for _ in range(min(GROUPS_TRIED, len(groups))):
        group = int(stream.choice(groups, p=weights / weights.sum()))
        try:
            return draw(model, replace(request, space_group=group), stream, open_sizes, source)
        except ConfigError as error:
            refused = error
    raise refused


def remaining(numbers: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Atomic numbers (A,) without those of the fixed atoms (F,); where the composition is open, so many fewer.

    Raises:
        ConfigError: The composition does not hold the fixed atoms.
    """
    if not numbers.any():
        return numbers[len(fixed) :]
    left = np.bincount(numbers, minlength=119) - np.bincount(fixed, minlength=119)
    if (left < 0).any():
        raise ConfigError(
            "the composition has not as many atoms of an element as are fixed.",
            where="fixed",
            fix="Ask for a number of atoms that holds them.",
        )
    return np.repeat(np.arange(119), left)


def _draw_symmetric(
    model: PeriodicGenerator, request: Request, stream: np.random.Generator, sizes: np.ndarray, source: Source
) -> Draws:
    """Noise of a sample inside the space group asked for; elements are decided by orbit."""
    weights = model.prior.cpu().double().numpy()[sizes, request.space_group] + SELDOM
    subspace = draw_subspace(request, sizes, weights, source, stream)
    occupation = subspace.occupation
    size, leaders = len(occupation.numbers), occupation.kinds
    return Draws(
        request=request,
        size=size,
        group=occupation.group,
        numbers=occupation.numbers,
        frac=subspace.origin,
        cell=stream.standard_normal(6),
        clock=stream.random(size)[leaders],
        gumbel=stream.gumbel(size=(size, 119))[leaders],
        stream=stream,
        subspace=subspace,
    )


def formula_unit(request: Request) -> np.ndarray:
    """(U,) atomic numbers of the smallest cell of the formula; empty where none was asked for."""
    if request.formula is None:
        return np.zeros(0, dtype=int)
    composition = Composition(request.formula)
    if request.n_atoms is None:
        composition = composition.reduced_composition
    return np.array([el.Z for el, amount in sorted(composition.items()) for _ in range(round(amount))])


def allowed_sizes(model: PeriodicGenerator, request: Request, unit: int, open_sizes: Sequence[int]) -> np.ndarray:
    """Cell sizes that fit the request, the training data and the constraints."""
    sizes = np.flatnonzero(model.prior.sum(1).cpu().numpy())
    if request.space_group is not None:  # the multiplicities of its Wyckoff positions decide
        sizes = np.arange(1, model.max_atoms + 1)
    if request.n_atoms is not None:
        sizes = np.array([request.n_atoms]) if request.n_atoms <= model.max_atoms else np.zeros(0, dtype=int)
    if unit:
        multiples = sizes[sizes % unit == 0]
        sizes = multiples if len(multiples) or unit > model.max_atoms else np.array([unit])
    sizes = _with_room(sizes, request, unit)
    sizes = sizes[sizes >= len(request.elements)]
    if len(sizes) and not unit and not np.isin(sizes, open_sizes).any():
        raise ConfigError("the request and the constraints leave no element to choose.", where="constraints")
    sizes = sizes if unit else sizes[np.isin(sizes, open_sizes)]
    if not len(sizes):
        raise ConfigError(
            f"no cell of at most {model.max_atoms} atoms fits the request.",
            where="formula" if unit else "n_atoms",
            fix="Ask for a smaller cell, or use the 'retrieval' generator.",
        )
    return sizes


def _with_room(sizes: np.ndarray, request: Request, unit: int) -> np.ndarray:
    """Sizes that hold the fixed atoms, for a formula in whole units."""
    if request.fixed is None:
        return sizes
    if request.space_group is not None:
        raise ConfigError("a space group and fixed parts cannot be asked for together.", where="fixed")
    if not request.fixed.numbers:
        return sizes
    fixed = np.bincount(request.fixed.numbers, minlength=119)
    foreign = set(np.flatnonzero(fixed)) - {Element(symbol).Z for symbol in request.elements}
    if request.elements and foreign:
        raise ConfigError("the fixed atoms are not of the chemical system.", where="fixed")
    if not unit:
        return sizes[sizes >= fixed.sum()]
    held = np.bincount(formula_unit(request), minlength=119)
    kinds = np.flatnonzero(fixed)
    if not held[kinds].all():
        raise ConfigError(
            "the fixed atoms are not part of the composition that is asked for.",
            where="fixed",
            fix="Ask for a formula that holds them.",
        )
    return sizes[sizes >= unit * int(np.ceil(fixed[kinds] / held[kinds]).max())]


@torch.no_grad()
def solve_in_chunks(draws: Sequence[Draws], solve: Callable[[Sequence[Draws]], Crystals]) -> Batch:
    """Solve samples of similar size together and restore the order.

    Args:
        draws: The noise of each sample.
        solve: From the noise of up to :data:`CHUNK` samples to crystals in the same order.
    """
    order = sorted(range(len(draws)), key=lambda i: draws[i].size)
    done: dict[int, Data] = {}
    for begin in range(0, len(order), CHUNK):
        chunk = order[begin : begin + CHUNK]
        crystals = solve([draws[i] for i in chunk])
        done.update(zip(chunk, crystals.systems(), strict=True))
    return Batch.from_data_list([done[i] for i in range(len(draws))])


def start(draws: Sequence[Draws]) -> Crystals:
    """The noise of S samples, padded; elements where the composition is given."""
    widest = max(d.size for d in draws)
    real = torch.arange(widest)[None] < torch.tensor([d.size for d in draws])[:, None]
    numbers = padded([d.numbers for d in draws], real).long()
    frac = padded([d.frac for d in draws], real)
    return Crystals(numbers, frac, torch.from_numpy(np.stack([d.cell for d in draws])).float(), real)


def normal(draws: Sequence[Draws], real: Tensor) -> Tensor:
    """(S, A, 3) standard normal, each system from its own stream."""
    return padded([d.stream.standard_normal((d.size, 3)) for d in draws], real)


def padded(rows: Sequence[np.ndarray], real: Tensor, fill: float = 0.0) -> Tensor:
    """(S, A, ...) values (A, ...) of each system, with ``fill`` on padding."""
    out = torch.full((*real.shape, *rows[0].shape[1:]), fill)
    out[real] = torch.from_numpy(np.concatenate(rows)).float()
    return out
