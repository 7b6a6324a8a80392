"""Fragments joined anew: valid, seeded, of known fragments only."""

from __future__ import annotations

import pytest
from rdkit import Chem
from rdkit.Chem import BRICS

from matgen.data.molecules import canonical
from matgen.errors import ConfigError, MatgenError
from matgen.execution import Serial
from matgen.generators.recombination import Recombination
from matgen.generators.sampling import sample

LIBRARY = ["CC(=O)Nc1ccccc1", "COc1ccc(CN)cc1", "O=C(NCc1ccncc1)C1CC1", "CCOC(=O)c1ccccc1F", "CN(C)C(=O)CCl"]


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "library.csv"
    path.write_text("smiles\n" + "\n".join(LIBRARY) + "\n")
    return str(path)


def test_samples_are_valid_seeded_and_made_of_known_fragments(library):
    first, again = (sample("recombination", n=20, seed=3, config={"library": library}, executor=Serial()) for _ in "ab")
    smiles = [s.properties["smiles"] for s in first.structures]
    assert smiles == [s.properties["smiles"] for s in again.structures]
    assert all(canonical(text) == text for text in smiles)
    assert len(set(smiles)) > 10
    known = {f for text in LIBRARY for f in BRICS.BRICSDecompose(Chem.MolFromSmiles(text))}
    elements = {a.GetSymbol() for f in known for a in Chem.MolFromSmiles(f).GetAtoms()} - {"*"}
    assert {a.GetSymbol() for text in smiles for a in Chem.MolFromSmiles(text).GetAtoms()} <= elements


def test_a_library_is_needed_and_must_hold_something(library, tmp_path):
    with pytest.raises(ConfigError, match="no library"):
        Recombination()
    with pytest.raises(ConfigError, match="no such library"):
        Recombination(library="nowhere.csv")
    (tmp_path / "chains.csv").write_text("smiles\nCC\n")
    with pytest.raises(MatgenError, match="can be cut"):
        sample("recombination", n=1, config={"library": str(tmp_path / "chains.csv")}, executor=Serial())
