"""The battery that every generator faces, ours and anybody's: call :func:`check_generator` in one line of a test.

Each check raises AssertionError with a sentence that says what is wrong.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import torch
from pymatgen.core import Composition

from matgen.constraints.specification import build_constraints
from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.elements import number
from matgen.errors import ConfigError
from matgen.generators.base import load_generator
from matgen.runtime import Streams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

    from matgen.data.batches import TrainingSet
    from matgen.generators.base import Generator
    from matgen.generators.sequences import SequenceSet

ASKED: tuple[dict[str, Any], ...] = (
    {},
    {"formula": "SrTiO3"},
    {"chemical_system": "Mg-O"},
    {"n_atoms": 4},
    {"space_group": 225},
)
"""Requests of the battery; each is asked only of generators that honour its fields."""
MASKED = ("Mg", "Ti", "Sr", "O", "F")
"""Elements that a mask leaves in the battery."""


def check_generator(
    generator: Generator,
    data: TrainingSet | SequenceSet | None = None,
    n: int = 4,
    elements: Sequence[str] = MASKED,
    asked: Sequence[Mapping[str, Any]] = ASKED,
    **options: Any,
) -> None:
    """Run the whole battery.

    Args:
        generator: Ready to sample.
        data: For learned generators, what a loss can be computed on.
        n: Samples of each request.
        elements: What a mask leaves; a generator of molecules needs hydrogen and carbon.
        asked: Fields of requests; those that the generator does not honour are left out.
        options: Passed to ``sample``, for example to make it quick.
    """
    for fields in asked:
        if set(fields) <= generator.conditions:
            check_repeats(generator, Request(n=n, **fields), **options)
            check_honoured(generator, Request(n=n, **fields), **options)
    check_refusals(generator, **options)
    check_masks(generator, n, elements, **options)
    check_saved(generator, n, **options)
    if data is not None:
        check_loss(generator, data)


def check_repeats(generator: Generator, request: Request, **options: Any) -> None:
    """The same seed gives the same structures, another seed others (unless there is nothing random)."""
    first, second = (_draw(generator, request, 0, **options) for _ in range(2))
    assert first == second, f"{generator.name}: the same seed gave different structures for {request}"
    assert len(first) == request.n, f"{generator.name}: {len(first)} structures instead of {request.n}"


def check_honoured(generator: Generator, request: Request, **options: Any) -> None:
    """Every structure is what was asked for, and a proper structure at all."""
    for structure in _draw(generator, request, 1, **options):
        found = structure.composition
        assert structure.volume > 0
        wrapped = structure.frac_coords[:, list(structure.lattice.pbc)]
        assert ((wrapped >= 0) & (wrapped < 1)).all()
        if request.formula:
            assert found.reduced_formula == Composition(request.formula).reduced_formula
        if request.chemical_system:
            assert sorted(el.symbol for el in found) == sorted(request.elements)
        if request.n_atoms:
            assert len(structure) == request.n_atoms


def check_refusals(generator: Generator, **options: Any) -> None:
    """A field that the generator does not honour is refused, never ignored."""
    for asked in ({"formula": "SrTiO3"}, {"space_group": 225}, {"n_atoms": 4}, {"target": {"band_gap": 1.0}}):
        if set(asked) <= generator.conditions:
            continue
        try:
            _draw(generator, Request(n=1, **asked), 0, **options)
        except ConfigError:
            continue
        raise AssertionError(f"{generator.name} ignored {next(iter(asked))} without a word")


def check_masks(generator: Generator, n: int, elements: Sequence[str] = MASKED, **options: Any) -> None:
    """Elements that a constraint masks never occur."""
    masks = build_constraints([{"elements": {"only": list(elements)}}], role="mask")
    request = Request(n=n)
    batch = generator.sample(request, rng=Streams(3, generator.name), constraints=masks, **options)
    assert set(batch.numbers.tolist()) <= {number(symbol) for symbol in elements}, f"{generator.name} broke a mask"


def check_saved(generator: Generator, n: int, **options: Any) -> None:
    """A saved and loaded generator gives the same samples."""
    with tempfile.TemporaryDirectory() as folder:
        generator.save(folder)
        twin = load_generator(folder)
        assert twin.config == generator.config
        assert _draw(twin, Request(n=n), 5, **options) == _draw(generator, Request(n=n), 5, **options)


def check_loss(generator: Generator, data: TrainingSet | SequenceSet) -> None:
    """The loss is finite, repeats with its stream, and reaches every parameter with finite gradients."""
    batch = data.batch(torch.arange(len(data)))
    losses = [generator.loss(batch, torch.Generator().manual_seed(1))["loss"] for _ in range(2)]
    assert losses[0] == losses[1], f"{generator.name}: the loss does not repeat"
    generator.zero_grad()
    losses[0].backward()
    gradients = [p.grad for p in generator.parameters() if p.requires_grad]
    assert all(g is None or bool(g.isfinite().all()) for g in gradients), f"{generator.name}: gradient not finite"


def _draw(generator: Generator, request: Request, seed: int, **options: Any) -> Sequence[Structure]:
    return from_batch(generator.sample(request, rng=Streams(seed, generator.name), **options))
