"""Sampling of the crystal transformer: formulas first, then everything else, then a look at what came out.

A formula that a constraint or the wanted space group does not allow is drawn again, so formulas are exactly those of
the model under the condition that they are allowed. A crystal whose symmetry turns out to be another than its group, or
in which atoms come too close, is drawn again from its space group on. Shapes: S crystals, V tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from matgen.data.structures import read_structures
from matgen.data.symmetry import REFINED_SYMPREC, space_group_number
from matgen.elements import covalent_radius
from matgen.errors import ConfigError, did_you_mean
from matgen.features.distances import shortest_distances
from matgen.generators.crystal_network import Asked
from matgen.generators.crystal_tokens import POSITION, VOLUME, Draft, Question, first_token, position_tokens
from matgen.generators.crystal_wishes import read_start, refuse, wanted_of
from matgen.generators.masks import permitted
from matgen.generators.writing import Decoding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from torch import Tensor

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.features.occupation import Occupation
    from matgen.features.symmetric import SymmetricCrystal
    from matgen.generators.crystal_grammar import Wanted
    from matgen.generators.gpt import CrystalGPT
    from matgen.runtime import Streams

FORMULAS = 200
"""How often formulas are drawn before the constraints count as impossible."""

ROUNDS = 5
"""Formulas that are tried where none of a formula's arrangements has just the symmetry of its group."""


@dataclass(frozen=True)
class Sampling:
    """How crystals are drawn.

    Args:
        temperature, top_k, top_p: Of formula, space group and orbits, see :class:`Decoding`.
        number_temperature: Of cell and coordinates.
        tries: How often a formula is arranged until its symmetry is that of its group and its atoms are apart.
        closest: Smallest distance of two atoms as a share of the sum of their covalent radii.
        start: Space group and orbits that the crystal must have, further ones may join them. Also as text,
            ``"62: Ca c, O d"``.
        examples: Crystals, or a file of them, of whose prototypes (group and orbits) each sample takes one.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    number_temperature: float = 0.7
    tries: int = 6
    closest: float = 0.6
    start: Occupation | str | None = None
    examples: Sequence[Structure] | str = ()

    def __post_init__(self) -> None:
        if self.tries < 1 or self.closest < 0 or self.number_temperature <= 0:
            raise ConfigError("tries and number_temperature must be above 0, closest at least 0.", where="gpt")

    @classmethod
    def of(cls, **options: Any) -> Sampling:
        """From options by name; an unknown one is a ConfigError."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise ConfigError(f"there is no option {name!r}.", where="gpt", fix=did_you_mean(name, known))
        return cls(**options)

    @cached_property
    def begun(self) -> Occupation | None:
        """What the crystal begins with."""
        return read_start(self.start) if isinstance(self.start, str) else self.start

    @cached_property
    def shown(self) -> Sequence[Structure]:
        """The examples."""
        return read_structures(self.examples)[1] if isinstance(self.examples, str) else self.examples

    @property
    def symbols(self) -> Decoding:
        """Of formula and symmetry."""
        return Decoding(self.temperature, self.top_k, self.top_p)

    @property
    def numbers(self) -> Decoding:
        """Of cell and coordinates."""
        return Decoding(self.number_temperature, 0, 1.0)


@dataclass
class Sample:
    """One crystal on its way.

    Args:
        wanted: What is asked of it.
        stream: From which alone it draws.
        draft: What is written.
        best: The best crystal so far.
        openness: Its smallest distance by covalent radii; 1 is added if its symmetry is that of its group.
        attempts: Crystals written, and formulas that were not allowed.
    """

    wanted: Wanted
    stream: np.random.Generator
    draft: Draft
    best: SymmetricCrystal | None = None
    openness: float = -1.0
    attempts: int = 0


@torch.no_grad()
def sample_drafts(
    model: CrystalGPT,
    requests: Sequence[Request],
    rng: Streams,
    constraints: Sequence[Constraint],
    how: Sampling,
) -> list[tuple[SymmetricCrystal, int]]:
    """One crystal a request, and how many crystals and rejected formulas were written for it.

    Args:
        model: The trained transformer.
        requests: What is asked of each.
        rng: Streams by sample index.
        constraints: Act on the formula.
        how: See :class:`Sampling`.

    Raises:
        ConfigError: No formula satisfies request and constraints.
    """
    samples, first = _begin(model, requests, rng, constraints, how)
    asked = [sample.wanted for sample in samples]
    open_rows = list(range(len(samples)))
    for _ in range(ROUNDS):
        for i in open_rows:
            samples[i].wanted = asked[i]
        _write_formulas(model, [samples[i] for i in open_rows], first[open_rows], constraints, how)
        open_rows = _write_crystals(model, samples, open_rows, first, how)
        # Where no arrangement has the symmetry of its group alone, another formula may.
        open_rows = [i for i in open_rows if samples[i].openness < 1]
        if not open_rows:
            break
    found = [(sample.best, sample.attempts) for sample in samples if sample.best is not None]
    if len(found) < len(samples):
        raise ConfigError("the model writes no cell that closes.", where=model.name, fix="Train it longer.")
    return found


def _write_crystals(
    model: CrystalGPT, samples: Sequence[Sample], rows: list[int], first: Tensor, how: Sampling
) -> list[int]:
    """Write the crystals at ``rows`` until they are acceptable, at most ``tries`` times; returns those that are not."""
    for _ in range(how.tries):
        for i in rows:
            samples[i].draft = Draft()
            samples[i].attempts += 1
        write(model, [samples[i] for i in rows], first[rows], how)
        rows = [i for i in rows if not _accept(samples[i], how)]
        if not rows:
            break
    return rows


@torch.no_grad()
def propose_occupations(
    model: CrystalGPT,
    requests: Sequence[Request],
    rng: Streams,
    constraints: Sequence[Constraint] = (),
    how: Sampling = Sampling(),
) -> list[Occupation]:
    """Space group and occupied Wyckoff positions for each request, without cell and coordinates.

    Arguments as of :func:`sample_drafts`.
    """
    from matgen.features.occupation import Occupation

    samples, first = _begin(model, requests, rng, constraints, how)
    _write_formulas(model, samples, first, constraints, how)
    for sample in samples:
        sample.draft = Draft()
    write(model, samples, first, how, until=VOLUME)
    drafts = [sample.draft for sample in samples]
    return [Occupation(draft.group, tuple((z, at.letter) for z, at in draft.orbits)) for draft in drafts]


def _begin(
    model: CrystalGPT, requests: Sequence[Request], rng: Streams, constraints: Sequence[Constraint], how: Sampling
) -> tuple[list[Sample], Tensor]:
    for request in requests:
        request.require_honoured_by(model.conditions, model.name)
    streams = rng.many(len(requests))
    wishes: list[Wanted] = []
    known: dict[str, Wanted] = {}
    for request, stream in zip(requests, streams, strict=True):
        key = repr(request) if not how.shown else ""
        if not key or key not in known:
            known[key] = wanted_of(request, constraints, model.max_atoms, how.begun, how.shown, stream)
        wishes.append(known[key])
    group = torch.tensor([wanted.group for wanted in wishes])
    size = torch.tensor([next(iter(w.sizes)) if len(w.sizes) == 1 else 0 for w in wishes])
    first = model.wish(group, size, model.wanted_targets(requests))
    return [Sample(w, stream, Draft()) for w, stream in zip(wishes, streams, strict=True)], first


def _write_formulas(
    model: CrystalGPT, samples: list[Sample], first: Tensor, constraints: Sequence[Constraint], how: Sampling
) -> None:
    """Draw formulas until all are allowed, and ask for just these from then on."""
    open_rows = list(range(len(samples)))
    for _ in range(FORMULAS):
        for i in open_rows:
            samples[i].draft = Draft()
        write(model, [samples[i] for i in open_rows], first[open_rows], how, until=2)
        for i in list(open_rows):
            sample = samples[i]
            if _formula_fits(sample, constraints):
                sample.wanted = replace(
                    sample.wanted, unit=dict(sample.draft.counts), sizes=frozenset({sample.draft.atoms})
                )
                open_rows.remove(i)
            else:
                sample.attempts += 1
        if not open_rows:
            return
    refuse(samples[open_rows[0]].wanted, constraints)


def _formula_fits(sample: Sample, constraints: Sequence[Constraint]) -> bool:
    draft, wanted = sample.draft, sample.wanted
    if not draft.closed:
        return False
    numbers = np.repeat([z for z, _ in draft.counts], [n for _, n in draft.counts])
    return (not wanted.group or wanted.fits(draft, wanted.group)) and permitted(numbers, constraints)


def write(model: CrystalGPT, samples: Sequence[Sample], first: Tensor, how: Sampling, until: int | None = None) -> None:
    """Write drafts on, all together, one token each at a time.

    Args:
        model: The transformer.
        samples: Their drafts are written.
        first: (S, D) what stands before the first place.
        how: How tokens are drawn.
        until: Kind of question at which to stop; None for the end.
    """
    vocabulary, table = model.vocabulary, model.vocabulary.table()
    about = vocabulary.prepared(table)
    live = [(i, sample, sample.draft.question()) for i, sample in enumerate(samples)]
    cache, h, rows = model.network.cache(len(samples)), first, len(samples)
    while live:
        asked = [question for _, _, question in live if question is not None]
        h = h + vocabulary.question(table, _stacked(asked), about)
        features = model.network.step(h, cache)
        tokens, offsets = _answers(model, table, features, [s for _, s, _ in live], asked, how)
        for (_, sample, _), token, offset in zip(live, tokens.tolist(), offsets.tolist(), strict=True):
            sample.draft.write(token, offset)
        after = [(i, sample, sample.draft.question()) for i, sample, _ in live]
        going = [k for k, (_, _, q) in enumerate(after) if q is not None and q.kind != until]
        if len(going) < rows:
            cache.keep(torch.tensor(going, dtype=torch.long))
            rows = len(going)
        live = [after[k] for k in going]
        h = vocabulary.answer(table, tokens, offsets)[going]


def _stacked(asked: Sequence[Question]) -> Asked:
    return Asked(*torch.tensor(asked).unbind(1))


def _answers(
    model: CrystalGPT,
    table: Tensor,
    features: Tensor,
    samples: Sequence[Sample],
    asked: Sequence[Question],
    how: Sampling,
) -> tuple[Tensor, Tensor]:
    """(S,) tokens drawn, and their offsets."""
    kinds = np.array([question.kind for question in asked])
    uniform = torch.tensor([sample.stream.random() for sample in samples])
    tokens, offsets = torch.zeros(len(samples), dtype=torch.long), torch.zeros(len(samples))
    for kind in np.unique(kinds).tolist():
        rows = np.flatnonzero(kinds == kind).tolist()
        logits = model.vocabulary.logits(table, features[rows], kind)
        allowed = torch.from_numpy(np.stack([_allowed(samples[i], asked[i], logits.shape[1]) for i in rows]))
        decoding = how.symbols if kind < VOLUME else how.numbers
        tokens[rows] = decoding.draw(logits, allowed, uniform[rows]) + first_token(kind)
    numeric = np.flatnonzero(kinds >= VOLUME)
    if len(numeric):
        offsets[numeric] = model.vocabulary.offsets(table, features[numeric], tokens[numeric])
    return tokens, offsets


def _allowed(sample: Sample, asked: Question, tokens: int) -> np.ndarray:
    found = sample.wanted.allowed(sample.draft, asked, tokens)
    if asked.kind != POSITION:
        return found
    whole, span = np.zeros(tokens, dtype=bool), position_tokens(sample.draft.group)
    whole[span.start - first_token(POSITION) : span.stop - first_token(POSITION)] = found
    return whole


def _accept(sample: Sample, how: Sampling) -> bool:
    """Keep the crystal if it is the best yet; whether it is good enough."""
    try:
        crystal = sample.draft.crystal()
    except ValueError:  # three angles that no cell has
        return False
    made = crystal.structure()
    open_by = openness(made)
    right = open_by > 0 and space_group_number(made, REFINED_SYMPREC) == crystal.group
    score = min(open_by, how.closest) + right
    if score > sample.openness:
        sample.best, sample.openness = crystal, score
    return right and open_by >= how.closest


def openness(structure: Structure) -> float:
    """Smallest distance as a share of the sum of the two covalent radii."""
    radii = np.nan_to_num(covalent_radius()[list(structure.atomic_numbers)], nan=1.5)
    distance = shortest_distances(structure.frac_coords, structure.lattice.matrix)
    return float((distance / (radii[:, None] + radii)).min())
