"""The SMILES grammar: every allowed sequence is a molecule, every molecule is allowed, no state is a dead end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from matgen.constraints.molecule_quality import molecular_weight
from matgen.errors import ConfigError
from matgen.generators.grammar import Grammar
from matgen.generators.notation import opening_bonds, smiles_sequence
from matgen.generators.ring_limits import RingLimits
from matgen.generators.vocabulary import RING, Vocabulary, smiles_tokens, split_smiles

WORDS = Vocabulary(smiles_tokens())
KNOWN = [
    "C",
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "C1CC2CCC1CC2",
    "C12C3C4C1C5C2C3C45",
    "[O-][N+](=O)c1ccc(cc1)S(=O)(=O)NC",
    "C[N+](C)(C)CC(=O)[O-]",
    "O=C1c2ccccc2C(=O)c2ccccc21",
    "FC(F)(F)c1nc2ccccc2[nH]1",
    "N#Cc1cc(Br)c(Cl)s1",
]


def _written_at_random(
    seed: int,
    length: int,
    elements: tuple[str, ...] | None,
    weights: tuple[float, float],
    heaviest: float = np.inf,
    rings: RingLimits | None = None,
) -> list:
    rng = np.random.default_rng(seed)
    allowed = None if elements is None else np.array([t.text.lstrip("=#") in elements for t in WORDS.tokens])
    grammar = Grammar(WORDS, 24, length, allowed, heaviest, rings)
    rows, live = [[] for _ in range(24)], np.ones(24, dtype=bool)
    ring, end = weights
    weight = np.where(grammar.kind == RING, ring, 1.0)
    weight[0] = end
    for _ in range(length):
        mask = grammar.mask()
        assert mask[live].any(1).all(), "a dead end"
        mask[~live] = np.arange(len(WORDS)) == 0
        chosen = (mask * weight * rng.random(mask.shape)).argmax(1)
        grammar.advance(chosen)
        for i in np.flatnonzero(live & (chosen != 0)):
            rows[i].append(WORDS.texts[chosen[i]])
        live &= chosen != 0
    assert not live.any(), "a molecule that does not end within the length"
    return ["".join(row) for row in rows]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(20, 90),
    st.sampled_from([None, ("C",), ("N",), ("O", "F"), ("C", "N", "O"), ("S", "[N+]", "[O-]"), ("P", "B", "I")]),
    st.tuples(st.floats(0.1, 20), st.floats(0.001, 1)),
)
def test_every_allowed_sequence_is_a_molecule(seed, length, elements, weights):
    for text in _written_at_random(seed, length, elements, weights):
        molecule = Chem.MolFromSmiles(text)
        assert molecule is not None, text
        assert Chem.MolFromSmiles(Chem.MolToSmiles(molecule)) is not None, text
        assert len(Chem.GetMolFrags(molecule)) == 1
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()), text


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([None, ("C", "N", "O"), ("S", "[N+]", "[O-]", "C"), ("P", "B", "I")]),
    st.tuples(st.floats(0.1, 20), st.floats(0.001, 1)),
    st.floats(80, 400),
)
def test_no_molecule_is_heavier_than_allowed(seed, elements, weights, heaviest):
    for text in _written_at_random(seed, 90, elements, weights, heaviest):
        molecule = Chem.MolFromSmiles(text)
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()), text
        assert molecular_weight(molecule) <= heaviest, text


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(30, 96),
    st.sampled_from([None, ("C", "N", "O"), ("C", "S", "[N+]", "[O-]"), ("C", "P", "B")]),
    st.tuples(st.floats(0.1, 20), st.floats(0.001, 1)),
    st.integers(5, 9),
    st.integers(0, 8),
)
def test_rings_are_no_larger_and_no_more_than_allowed(seed, length, elements, weights, largest, most):
    limits = RingLimits(24, length, largest, most)
    for text in _written_at_random(seed, length, elements, weights, rings=limits):
        molecule = Chem.MolFromSmiles(text)
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()), text
        assert max(map(len, molecule.GetRingInfo().AtomRings()), default=0) <= largest, text
        bonds, atoms = molecule.GetNumBonds(), molecule.GetNumAtoms()
        assert bonds - atoms + 1 <= most, text


def test_the_limit_of_rings_leaves_usual_molecules_open():
    for smiles in (*KNOWN, "c1ccc2cc3ccccc3cc2c1", "C1CC2(CC1)OCCO2", "O=C(Nc1ccc2[nH]ncc2c1)C1CCN(C2CCCC2)CC1"):
        molecule = Chem.MolFromSmiles(smiles)
        largest = max(5, *(len(ring) for ring in molecule.GetRingInfo().AtomRings()), 0)
        # Paths are known by upper bounds only, so some need room: cages, and rings closed before the one inside them.
        largest += {"C12C3C4C1C5C2C3C45": 3, "O=C1c2ccccc2C(=O)c2ccccc21": 4}.get(smiles, 0)
        tokens = smiles_sequence(molecule)
        grammar = Grammar(WORDS, 1, len(tokens) + 60, rings=RingLimits(1, len(tokens) + 60, largest))
        for number in [*WORDS.encode(tokens), 0]:
            assert grammar.mask()[0, number], (smiles, "".join(tokens))
            grammar.advance(np.array([number]))
    with pytest.raises(ConfigError, match="at least 5 atoms"):
        RingLimits(1, 40, 4)
    with pytest.raises(ConfigError, match="Allow carbon"):
        Grammar(WORDS, 1, 40, np.array([t.text == "N" for t in WORDS.tokens]), rings=RingLimits(1, 40, 6))


def test_weights_count_the_hydrogens_of_what_is_written():
    for smiles in ("CC(=O)Oc1ccccc1C(=O)O", "C[N+](C)(C)CC(=O)[O-]", "FC(F)(F)c1nc2ccccc2[nH]1"):
        grammar = Grammar(WORDS, 1, 90)
        for number in WORDS.encode(smiles_sequence(Chem.MolFromSmiles(smiles))):
            grammar.advance(np.array([number]))
        assert grammar.weight[0] == pytest.approx(molecular_weight(Chem.MolFromSmiles(smiles)), abs=0.02)
    with pytest.raises(ConfigError, match="at least 32"):
        Grammar(WORDS, 1, 40, heaviest=20.0)


@pytest.mark.parametrize("smiles", KNOWN)
def test_known_molecules_are_allowed_from_every_atom(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    for root in [-1, *range(molecule.GetNumAtoms())]:
        tokens = smiles_sequence(molecule, root)
        assert Chem.CanonSmiles("".join(tokens)) == Chem.CanonSmiles(smiles)
        grammar = Grammar(WORDS, 1, len(tokens) + 60)
        for number in [*WORDS.encode(tokens), 0]:
            assert grammar.mask()[0, number], "".join(tokens)
            grammar.advance(np.array([number]))


def _next(text: str) -> set[str]:
    grammar = Grammar(WORDS, 1, 60)
    for number in WORDS.encode(split_smiles(text)):
        grammar.advance(np.array([number]))
    return {WORDS.texts[i] for i in np.flatnonzero(grammar.mask()[0])}


def test_what_may_follow_by_hand():
    assert "" in _next("CC")
    assert "=O" in _next("C")
    assert "#C" not in _next("N=C(C)")
    assert _next("CF") == {""}  # fluorine is full
    assert "" not in _next("C1CC")
    assert "1" in _next("C1CC")
    assert "1" not in _next("C1C")  # not to a neighbour
    assert "F" not in _next("C1CC")  # nothing could close the ring any more
    assert "" not in _next("C[N+]")
    assert "=C" in _next("C[N+](C)")
    assert "O" not in _next("C[N+](C)")
    assert "(" in _next("C[N+](C)")
    assert ")" not in _next("C(")
    assert ")" in _next("C(F")
    assert "" not in _next("C(F)")  # a branch is followed by the rest
    assert "2" in _next("C1CC")
    assert "3" not in _next("C1CC")


def test_ring_bonds_move_to_where_the_ring_is_opened():
    assert opening_bonds(split_smiles("C1CCCC=1")) == ["C", "=1", "C", "C", "C", "C", "1"]


def test_without_any_atom_there_is_no_grammar():
    with pytest.raises(ConfigError, match="no atom is left"):
        Grammar(WORDS, 1, 40, np.zeros(len(WORDS), dtype=bool))
