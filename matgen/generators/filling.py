"""What the masked transformer of crystals is asked: an element for a site, a letter for an orbit, an embedding.

Shapes: S crystals, L places, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import moyopy
import numpy as np
import torch
from pymatgen.core import Element

from matgen.data.symmetry import REFINED_SYMPREC, SYMPREC
from matgen.elements import N_NUMBERS, symbols
from matgen.errors import ConfigError, DataError
from matgen.features.symmetric import SymmetricCrystal
from matgen.features.wyckoff import positions
from matgen.generators.base import load_generator
from matgen.generators.bert import CrystalBERT, Hidden
from matgen.generators.crystal_sequences import CrystalSequences
from matgen.generators.crystal_tokens import (
    COUNT,
    ELEMENT,
    GROUP,
    POSITION,
    Place,
    encode,
    first_token,
    position_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from pymatgen.core import Structure
    from torch import Tensor

MARK = N_NUMBERS - 1
"""Atomic number that stands for the asked element while the symmetry is found; no data set holds it."""


class Fill(NamedTuple):
    """What could sit on a site.

    Args:
        elements: ``element``, ``probability`` and whether it ``is_there``, the most probable first.
        letters: ``letter`` of the Wyckoff positions where the orbit could be, ``probability``, ``is_there``.
        space_group: Of the crystal in which the site's orbit counts as different from all others.
        orbit: Indices of the sites that are equivalent to the asked one.
    """

    elements: pd.DataFrame
    letters: pd.DataFrame
    space_group: int
    orbit: tuple[int, ...]


def fill_site(structure: Structure, site: int, model: str | Path | CrystalBERT = "bert-mp20") -> Fill:
    """Probabilities of the elements on a site and its equivalents, given all other atoms and the cell.

    Args:
        structure: An ordered crystal.
        site: Index of an atom, from 0.
        model: A masked transformer, by name or folder, or itself.

    Raises:
        ConfigError: No such site, or another kind of model.
        DataError: The crystal cannot be described by its symmetry.
    """
    import pandas as pd

    bert = _loaded(model)
    if not 0 <= site < len(structure):
        raise ConfigError(f"site {site} of {len(structure)}.", where="site", fix=f"Give 0 to {len(structure) - 1}.")
    orbit = equivalent_sites(structure, site)
    marked = structure.copy()
    for i in orbit:
        marked.replace(i, Element.from_Z(MARK))
    crystal, places = _described(bert, marked)
    at = next(i for i, p in enumerate(places) if p.question.kind == POSITION and p.question.element == MARK)
    element = _probabilities(bert, places, at, ELEMENT)
    letter = _probabilities(bert, places, at, POSITION)
    true = structure[site].specie.symbol
    known = next(o.letter for o in crystal.orbits if o.element == MARK)
    found = pd.DataFrame({"element": symbols()[1:], "probability": element[1:]})
    found["is_there"] = found["element"] == true
    letters = pd.DataFrame({"letter": [p.letter for p in positions(crystal.group)], "probability": letter})
    letters["is_there"] = letters["letter"] == known
    return Fill(_ranked(found), _ranked(letters), crystal.group, orbit)


@torch.no_grad()
def embed_crystals(structures: Sequence[Structure], model: str | Path | CrystalBERT) -> np.ndarray:
    """(S, D) embeddings, the mean over the places of each crystal, for retrieval and surrogates.

    Args:
        structures: Ordered crystals that can be described by their symmetry.
        model: A masked transformer, by folder, or itself.
    """
    bert = _loaded(model)
    rows = []
    for structure in structures:
        _, places = _described(bert, structure)
        rows.append(bert_features(bert, [places], [[]], [[]])[0, : len(places)].mean(0))
    return torch.stack(rows).numpy()


def equivalent_sites(structure: Structure, site: int) -> tuple[int, ...]:
    """Indices of the sites that symmetry makes equivalent to one, itself included."""
    cell = moyopy.Cell(
        structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), list(structure.atomic_numbers)
    )
    try:
        data = moyopy.MoyoDataset(cell, symprec=REFINED_SYMPREC)
    except ValueError as error:
        raise DataError(f"no symmetry is found ({error}).", where=structure.composition.reduced_formula) from error
    # In a cell that is not primitive, orbits hold the atoms of one primitive cell; translations join the others.
    primitive = np.array(data.mapping_std_prim)
    kinds = np.array(data.orbits)
    same = set(primitive[kinds == kinds[site]].tolist())
    return tuple(i for i in range(len(structure)) if int(primitive[i]) in same)


def _loaded(model: str | Path | CrystalBERT) -> CrystalBERT:
    found = model if isinstance(model, CrystalBERT) else load_generator(model)
    if not isinstance(found, CrystalBERT):
        raise ConfigError(
            f"{found.name!r} is no masked transformer.",
            where="model",
            fix="Use 'bert-mp20', or train one with workflows/generators/bert-mp20.yaml.",
        )
    return found.eval()


def _described(bert: CrystalBERT, structure: Structure) -> tuple[SymmetricCrystal, list[Place]]:
    name = structure.composition.reduced_formula
    crystal = SymmetricCrystal.of(structure) or SymmetricCrystal.of(structure, SYMPREC)
    if crystal is None:
        raise DataError("the crystal cannot be described by its symmetry.", where=name)
    if sum(crystal.counts.values()) > bert.max_atoms:
        raise DataError(f"the primitive cell has more than {bert.max_atoms} atoms.", where=name)
    try:
        return crystal, [place for place in encode(crystal) if place.question.kind > COUNT]
    except ValueError as error:
        raise DataError(f"{error}.", where=name) from error


@torch.no_grad()
def bert_features(
    bert: CrystalBERT, crystals: Sequence[list[Place]], tokens: Sequence[list[int]], elements: Sequence[list[int]]
) -> Tensor:
    """(S, L, D) where the tokens and the elements of some places are hidden."""
    batch = CrystalSequences.build(crystals, {}).batch(torch.arange(len(crystals)))
    hidden = Hidden(*(torch.zeros(batch.tokens.shape, dtype=torch.bool) for _ in range(2)))
    for row, (words, occupants) in enumerate(zip(tokens, elements, strict=True)):
        hidden.tokens[row, words] = True
        hidden.elements[row, occupants] = True
    return bert.features(bert.vocabulary.table(), batch, hidden, torch.Generator().manual_seed(0))


def _probabilities(bert: CrystalBERT, places: list[Place], at: int, kind: int) -> np.ndarray:
    """Of the element of an orbit, or of its position among those of the group; its coordinates are hidden with it."""
    element = places[at].question.element
    marked = [i for i, p in enumerate(places) if p.question.kind == POSITION and p.question.element == element]
    own = [i for i, p in enumerate(places) if p.question.kind > POSITION and p.question.element == element]
    h = bert_features(bert, [places], [[at, *own] if kind == POSITION else []], [marked])[0, at]
    with torch.no_grad():
        logits = bert_scores(bert, h[None], kind)[0]
        if kind == POSITION:
            span = position_tokens(places[0].token - first_token(GROUP) + 1)
            logits = logits[span.start - first_token(POSITION) : span.stop - first_token(POSITION)]
        else:
            logits[[0, MARK]] = -torch.inf
    return logits.softmax(-1).double().numpy()


def bert_scores(bert: CrystalBERT, h: Tensor, kind: int) -> Tensor:
    """(S, n) scores of the tokens of a kind from features (S, D)."""
    about = h + bert.vocabulary.kind.weight[ELEMENT] if kind == ELEMENT else h
    return bert.vocabulary.logits(bert.vocabulary.table(), about, kind)


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("probability", ascending=False, ignore_index=True, kind="stable")
