"""Token sequences of symmetric crystals for training, with the interface of :class:`matgen.data.batches.TrainingSet`.

Shapes: S sequences, L places of the longest.
"""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch_geometric.data import Batch

from matgen.errors import DataError
from matgen.features.symmetric import SymmetricCrystal
from matgen.generators.crystal_tokens import COORDINATE, GROUP, POSITION, Place, encode, first_token, position_of
from matgen.generators.sequences import lengths_alike, padded
from matgen.runtime import workers as available_workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from pymatgen.core import Structure
    from torch import Tensor

log = logging.getLogger(__name__)

MOST_CELLS = 4
"""A face-centred conventional cell holds four primitive ones; larger supercells are not looked into."""

FIELDS = ("tokens", "kind", "element", "position", "slot", "atoms", "orbit")
"""Of each place: its token, the question that it answers, and the number of the orbit that it is about, else 0."""


@dataclass(frozen=True)
class CrystalSequences:
    """All crystals of a data set as flat places.

    Args:
        places: (ΣL, 7) whole numbers by :data:`FIELDS`.
        offsets: (ΣL,) within bins.
        sizes: (S,) places of each sequence.
        system: (S,) values by name: ``space_group``, ``n_atoms`` and each target, NaN where unknown.
    """

    places: Tensor
    offsets: Tensor
    sizes: Tensor
    system: dict[str, Tensor]

    @classmethod
    def build(cls, sequences: Sequence[Sequence[Place]], targets: Mapping[str, Sequence[float]]) -> CrystalSequences:
        """From encoded crystals."""
        flat = [place for sequence in sequences for place in sequence]
        orbits = [orbit for sequence in sequences for orbit in orbit_numbers(sequence)]
        system = {name: torch.as_tensor(np.asarray(v, dtype=np.float32)) for name, v in targets.items()}
        asked = [next(p for p in sequence if p.question.kind == GROUP) for sequence in sequences]
        system["space_group"] = torch.tensor([p.token - first_token(GROUP) + 1 for p in asked])
        system["n_atoms"] = torch.tensor([p.question.atoms for p in asked])
        return cls(
            places=torch.tensor(
                [(place.token, *place.question, orbit) for place, orbit in zip(flat, orbits, strict=True)],
                dtype=torch.int16,
            ),
            offsets=torch.tensor([place.offset for place in flat], dtype=torch.float32),
            sizes=torch.tensor([len(sequence) for sequence in sequences]),
            system=system,
        )

    @property
    def tokens(self) -> Tensor:
        """(ΣL,) tokens."""
        return self.places[:, 0]

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, indices: Tensor) -> Batch:
        """The sequences at ``indices``: :data:`FIELDS` and ``offsets`` as (S, L), tokens -1 on padding."""
        starts = torch.cumsum(self.sizes, 0) - self.sizes
        sizes = self.sizes[indices]
        steps = torch.arange(int(padded(sizes).max()))
        real = steps < sizes[:, None]
        at = (starts[indices][:, None] + steps).clamp(max=len(self.places) - 1)
        fields = dict(zip(FIELDS, self.places[at].long().where(real[..., None], 0).unbind(-1), strict=True))
        fields["tokens"] = fields["tokens"].where(real, -1)
        system = {name: values[indices] for name, values in self.system.items()}
        return Batch(offsets=self.offsets[at].where(real, 0.0), **fields, **system)

    def part(self, indices: Tensor) -> CrystalSequences:
        """The sequences at ``indices`` as a set of their own."""
        starts = torch.cumsum(self.sizes, 0) - self.sizes
        sizes = self.sizes[indices]
        shift = torch.repeat_interleave(starts[indices] - (torch.cumsum(sizes, 0) - sizes), sizes)
        chosen = shift + torch.arange(len(shift))
        system = {name: values[indices] for name, values in self.system.items()}
        return CrystalSequences(self.places[chosen], self.offsets[chosen], self.sizes[indices], system)

    def split(self, share: float, rng: np.random.Generator) -> tuple[CrystalSequences, CrystalSequences]:
        """A random share of the crystals, and the rest."""
        order = torch.from_numpy(rng.permutation(len(self)))
        cut = round(share * len(self))
        return self.part(order[:cut].sort().values), self.part(order[cut:].sort().values)

    def epoch(self, atoms: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Shuffled batches of indices; each holds sequences of one padded length, together about ``atoms`` places."""
        return lengths_alike(self.sizes, atoms, rng)


def orbit_numbers(sequence: Sequence[Place]) -> list[int]:
    """The number of the orbit, from 0, that each place is about."""
    placed = [place.token for place in sequence if place.question.kind == POSITION]
    free = [k for k, token in enumerate(placed) for _ in position_of(token).free]
    written, numbers = iter(range(len(placed))), iter(free)
    by_kind = {POSITION: written, COORDINATE: numbers}
    return [next(by_kind[p.question.kind]) if p.question.kind in by_kind else 0 for p in sequence]


def encode_structures(
    structures: Sequence[Structure], max_atoms: int, length: int, workers: int | None = None
) -> tuple[list[int], list[list[Place]], dict[str, int]]:
    """Sequences of the structures that can be described, and why the others cannot.

    Args:
        structures: Ordered structures.
        max_atoms: Of the primitive cell.
        length: Most places.
        workers: Processes; by default one for each processor.

    Returns:
        Indices of the structures that are kept, their sequences, and the others counted by reason.

    Raises:
        DataError: Nothing is left.
    """
    workers = workers or available_workers()
    if workers == 1 or len(structures) < 500:
        results = [encoded(structure, max_atoms, length) for structure in structures]
    else:
        with ProcessPoolExecutor(workers) as pool:
            wanted = ([max_atoms] * len(structures), [length] * len(structures))
            results = list(pool.map(encoded, structures, *wanted, chunksize=64))
    kept = [i for i, found in enumerate(results) if not isinstance(found, str)]
    left_out = Counter(found for found in results if isinstance(found, str))
    if not kept:
        raise DataError("no structure can be described by its symmetry.", where=str(dict(left_out)))
    log.info("left out: %s", dict(left_out) or "none")
    return kept, [found for found in results if not isinstance(found, str)], dict(left_out)


def encoded(structure: Structure, max_atoms: int, length: int) -> list[Place] | str:
    """The sequence of a structure, or why there is none."""
    crystal = SymmetricCrystal.of(structure)
    if crystal is None:
        return "no symmetry is found, or its coordinates do not keep it"
    if sum(crystal.counts.values()) > max_atoms:
        return f"more than {max_atoms} atoms in the primitive cell"
    try:
        places = encode(crystal)
    except ValueError as error:
        return str(error)
    return places if len(places) <= length else f"more than {length} tokens"


def gather_crystals(
    sources: Sequence[str | Path], exclude: str | Path | None, max_atoms: int, length: int, targets: Sequence[str]
) -> tuple[pd.DataFrame, CrystalSequences]:
    """Rows and token sequences of all structures that may be learned from and can be described.

    Args:
        sources: Ingested data sets or structure files.
        exclude: A data set whose ids must not be learned from.
        max_atoms: Of the primitive cell.
        length: Most places of a sequence.
        targets: Columns that the tables must have.
    """
    from matgen.generators.training import eligible_structures

    table, structures = eligible_structures(sources, exclude, MOST_CELLS * max_atoms, targets)
    kept, sequences, left_out = encode_structures(structures, max_atoms, length)
    table = table.iloc[kept].reset_index(drop=True)
    table.attrs["left_out"] = left_out
    return table, CrystalSequences.build(sequences, {name: table[name] for name in targets})
