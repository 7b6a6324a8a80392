"""Molecules in space: the samplers are those of crystals, from Gaussian noise in a box.

Shapes: S systems, A atoms (padded), U atoms of a formula.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from pymatgen.core import Composition
from rdkit import Chem

from matgen.data.batches import BOX
from matgen.data.fixed import Fixed
from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.errors import ConfigError
from matgen.generators.dense import Crystals
from matgen.generators.drawing import Draws, open_sizes, remaining, solve_in_chunks
from matgen.generators.flow_sampler import predictor
from matgen.generators.molecule_box import NOISE, bonds_apart, unboxed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core import Structure
    from rdkit.Chem import Mol
    from torch import Tensor
    from torch_geometric.data import Batch, Data

    from matgen.constraints.base import Constraint
    from matgen.generators.flow_sampler import Predict
    from matgen.generators.periodic import PeriodicGenerator
    from matgen.runtime import Streams


class Boxed(Crystals):
    """S molecules in their boxes."""

    def systems(self) -> list[Data]:
        """One ``Data`` a molecule, without periodic axes."""
        numbers, frac = self.numbers.cpu().numpy(), self.frac.cpu().double().numpy()
        return [unboxed(numbers[i, keep], frac[i, keep]) for i, keep in enumerate(self.real.cpu().numpy())]


Advance: TypeAlias = "Callable[[Sequence[Draws], Predict, Sequence[Constraint]], Crystals]"
"""From noise, the network's predictions and constraints with a mask to molecules in their boxes."""


def draw_molecules(
    model: PeriodicGenerator,
    requests: Sequence[Request],
    advance: Advance,
    guidance: float,
    *,
    rng: Streams,
    constraints: Sequence[Constraint] = (),
) -> Batch:
    """Draw one molecule for each request.

    Args:
        model: Trained on molecules.
        requests: Formula (of the whole molecule), number of atoms with hydrogens, chemical system, targets and fixed
            atoms, around which the rest of the molecule is made.
        advance: The sampler.
        guidance: Strength of classifier-free guidance towards targets.
        rng: Streams by sample index.
        constraints: Those with a mask restrict the elements.

    Raises:
        ConfigError: A space group or a guiding penalty is asked for, or no size fits.
    """
    for constraint in constraints:
        if constraint.acts_as("penalty") and not constraint.acts_as("mask"):
            raise ConfigError(f"the constraint {constraint.name!r} does not guide molecules.", where="constraints")
    masks = [constraint for constraint in constraints if constraint.acts_as("mask")]
    sizes = open_sizes(model, masks)
    draws = [_draw(model, request, rng.at(i), sizes) for i, request in enumerate(requests)]
    return _solved(model, draws, advance, guidance, masks)


def draw_geometries(
    model: PeriodicGenerator,
    molecules: Sequence[Mol],
    advance: Advance,
    guidance: float,
    streams: Sequence[np.random.Generator],
) -> list[Structure]:
    """Draw one geometry for each molecule whose bonds are known.

    Args:
        model: Trained on molecules.
        molecules: With all their hydrogens. Their stereochemistry is not looked at.
        advance: The sampler.
        guidance: Of no effect without targets.
        streams: One a molecule.
    """
    draws = [_bonded(molecule, stream) for molecule, stream in zip(molecules, streams, strict=True)]
    return from_batch(_solved(model, draws, advance, guidance, [])) if draws else []


def _solved(
    model: PeriodicGenerator,
    draws: Sequence[Draws],
    advance: Advance,
    guidance: float,
    masks: Sequence[Constraint],
) -> Batch:
    def solve(chunk: Sequence[Draws]) -> Crystals:
        x = advance(chunk, _predictor(model, chunk, guidance), masks)
        return Boxed(x.numbers, x.frac, x.cell, x.real)

    return solve_in_chunks(draws, solve)


def _bonded(molecule: Mol, stream: np.random.Generator) -> Draws:
    """Noise around the atoms of a molecule, in their order, and the bonds between them."""
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    formula = Composition(Counter(atom.GetSymbol() for atom in molecule.GetAtoms())).formula
    bonded = torch.from_numpy(Chem.GetAdjacencyMatrix(molecule)).bool()
    return _noise(Request(formula=formula), numbers, stream, bonds_apart(bonded[None])[0].numpy())


def _predictor(model: PeriodicGenerator, draws: Sequence[Draws], guidance: float) -> Predict:
    """The network's view of molecules: elements that none of them has are out of question."""
    apart = None
    if any(d.apart is not None for d in draws):
        widest = max(d.size for d in draws)
        apart = torch.zeros(len(draws), widest, widest, dtype=torch.long)
        for i, d in enumerate(draws):
            if d.apart is not None:
                apart[i, : d.size, : d.size] = torch.from_numpy(d.apart)
    plain = predictor(model, draws, guidance, torch.ones(len(draws), dtype=torch.bool), apart)
    absent = model.molecule_elements == 0

    def predict(numbers: Tensor, frac: Tensor, cell: Tensor, real: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        velocity, _, logits = plain(numbers, frac, cell, real, t)
        return velocity, torch.zeros_like(cell), logits.masked_fill(absent, -torch.inf)

    return predict


def _draw(model: PeriodicGenerator, request: Request, stream: np.random.Generator, open_sizes: Sequence[int]) -> Draws:
    """Size, composition where given, and noise of one molecule; fixed atoms come first."""
    if request.space_group is not None:
        raise ConfigError("a molecule has no space group.", where="space_group", fix="Leave it out.")
    request = replace(request, fixed=_in_box(request.fixed))
    fixed = np.array(request.fixed.numbers if request.fixed else [], dtype=int)
    formula = Composition(request.formula) if request.formula else Composition()
    unit = np.array([el.Z for el, amount in sorted(formula.items()) for _ in range(round(amount))], dtype=int)
    size = _size(model, request, len(unit), max(len(fixed), len(request.elements)), stream, open_sizes)
    numbers = unit if len(unit) else np.zeros(size, dtype=int)
    return _noise(request, np.concatenate([fixed, remaining(numbers, fixed)]), stream)


def _noise(
    request: Request, numbers: np.ndarray, stream: np.random.Generator, apart: np.ndarray | None = None
) -> Draws:
    size = len(numbers)
    normal = stream.standard_normal((size, 3))
    return Draws(
        request=request,
        size=size,
        group=0,
        numbers=numbers,
        frac=(normal - normal.mean(0)) * NOISE / BOX + 0.5,
        cell=np.zeros(6),
        clock=stream.random(size),
        gumbel=stream.gumbel(size=(size, 119)),
        stream=stream,
        apart=apart,
    )


def _size(
    model: PeriodicGenerator,
    request: Request,
    unit: int,
    least: int,
    stream: np.random.Generator,
    open_sizes: Sequence[int],
) -> int:
    """Number of atoms: as asked, or else as in the training data, but at least ``least``."""
    wanted = unit or request.n_atoms
    weights = model.molecule_sizes.cpu().double().numpy().copy()
    weights[[a for a in range(len(weights)) if a not in open_sizes or a < least]] = 0
    if wanted:
        weights = np.eye(len(weights))[wanted] if least <= wanted <= model.max_atoms else np.zeros(1)
    if not weights.any() or (request.n_atoms or wanted) != wanted:
        raise ConfigError(
            f"no molecule of at most {model.max_atoms} atoms fits the request.",
            where="formula" if unit else "n_atoms",
            fix="Count hydrogens too.",
        )
    return int(stream.choice(len(weights), p=weights / weights.sum()))


def _in_box(fixed: Fixed | None) -> Fixed | None:
    """Fixed atoms of a molecule around the middle of the box: inpainting keeps their distances, not their origin."""
    if fixed is None or not fixed.numbers:
        return None
    if fixed.cell is None:
        raise ConfigError("fixed atoms of a molecule need lengths.", where="fixed", fix="Fix the cell of the file too.")
    places = np.array(fixed.frac) @ np.array(fixed.cell)
    return Fixed(fixed.numbers, tuple(map(tuple, (places - places.mean(0)) / BOX + 0.5)))
