"""Molecules put together from the fragments of a library: the baseline beside every learned generator of molecules."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import BRICS

from matgen.data.molecules import canonical, canonical_of, parse_smiles, sanitised
from matgen.errors import ConfigError, DataError
from matgen.generators.base import GENERATORS, Generator
from matgen.generators.layout import laid_out
from matgen.generators.sequence_gathering import read_smiles
from matgen.runtime import content_id, file_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdkit.Chem import Mol
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.runtime import Streams

DATASET_TABLE = "structures.parquet"
TRIES = 200
"""Attempts at one molecule; nearly all end within five."""


@GENERATORS.register("recombination")
class Recombination(Generator):
    """Fragments of known molecules joined anew, by the rules of retrosynthesis that cut them (BRICS).

    Degen et al., ChemMedChem 3, 1503 (2008). Each sample begins with a random fragment, by how often it occurs, and
    closes every open bond with a fragment that fits. Fragments of one open end are preferred once the molecule has
    about the size of one that is drawn from the library.

    Args:
        library: Ingested data set, or a table with a column ``smiles``.
        limit: Molecules of the library that are cut, drawn by a fixed seed.
        max_atoms: Most heavy atoms.
    """

    name = "recombination"

    def __init__(self, library: str | None = None, limit: int = 2000, max_atoms: int = 40) -> None:
        super().__init__(library=library, limit=limit, max_atoms=max_atoms)
        if library is None:
            raise ConfigError("no library of molecules.", where="config.library", fix="Name a data set of molecules.")
        path = Path(library)
        self.path = path / DATASET_TABLE if path.is_dir() else path
        if not self.path.is_file():
            raise ConfigError("no such library.", where=str(path), fix="Name a data set of molecules or a table.")
        self.limit, self.max_atoms = limit, max_atoms
        self.card["fingerprint"] = content_id(self.name, file_id(self.path), limit, max_atoms)

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` molecules with their ``smiles``, laid out flat; sample ``i`` draws only from ``rng.at(i)``."""
        if constraints or options:
            raise ConfigError("constraints and options do not act here.", where=self.name, fix="Screen its samples.")
        return laid_out([self.draw(rng.at(i)) for i in range(request.n)], rng)

    def draw(self, rng: np.random.Generator) -> str:
        """Canonical SMILES of one molecule.

        Raises:
            DataError: The fragments of the library do not close to a molecule.
        """
        for _ in range(TRIES):
            found = self._assembled(rng)
            if found is not None:
                return canonical(found)
        raise DataError("no molecule closes.", where=str(self.path), fix="Use a larger library.")

    def _assembled(self, rng: np.random.Generator) -> str | None:
        """One attempt: SMILES, or None where it grew too large or nothing fits."""
        texts, weights = self._fragments
        wanted = int(rng.choice(self._sizes))
        whole = parse_smiles(str(rng.choice(texts, p=weights)))
        while ends := _ends(whole):
            atom, label = ends[int(rng.integers(len(ends)))]
            partners = [t for other in sorted(COMPATIBLE[label]) for t in self._by_end.get(other, ())]
            small = [t for t in partners if t.count("*") == 1]
            partners = small if small and whole.GetNumHeavyAtoms() >= wanted / 2 else partners
            if not partners or whole.GetNumHeavyAtoms() > self.max_atoms + len(ends):
                return None
            chances = np.array([self._counts[t] for t in partners], dtype=float)
            partner = parse_smiles(str(rng.choice(partners, p=chances / chances.sum())))
            whole = _joined(whole, atom, partner, COMPATIBLE[label])
        return canonical_of(whole) if whole.GetNumHeavyAtoms() <= self.max_atoms else None

    @cached_property
    def _counts(self) -> Counter[str]:
        return self._cut[0]

    @cached_property
    def _sizes(self) -> np.ndarray:
        return self._cut[1]

    @cached_property
    def _cut(self) -> tuple[Counter[str], np.ndarray]:
        """How often each fragment occurs, and the sizes of the molecules."""
        smiles = read_smiles(self.path)["smiles"]
        chosen = np.random.default_rng(0).permutation(len(smiles))[: self.limit]
        counts: Counter[str] = Counter()
        sizes = []
        with rdBase.BlockLogs():
            for text in smiles.iloc[chosen]:
                whole = Chem.MolFromSmiles(text)
                if whole is not None:
                    counts.update(BRICS.BRICSDecompose(whole))
                    sizes.append(whole.GetNumHeavyAtoms())
        if not counts:
            raise DataError("no molecule in the library.", where=str(self.path))
        return counts, np.array(sizes)

    @cached_property
    def _fragments(self) -> tuple[list[str], np.ndarray]:
        texts = sorted(t for t in self._counts if "*" in t)
        if not texts:
            raise DataError("no molecule of the library can be cut.", where=str(self.path))
        weights = np.array([self._counts[t] for t in texts], dtype=float)
        return texts, weights / weights.sum()

    @cached_property
    def _by_end(self) -> dict[int, list[str]]:
        found = defaultdict(list)
        for text in self._fragments[0]:
            for label in sorted({label for _, label in _ends(parse_smiles(text))}):
                found[label].append(text)
        return dict(found)


def _compatible() -> dict[int, dict[int, str]]:
    """For each kind of open end the kinds that it joins, with the bond."""
    found: dict[int, dict[int, str]] = defaultdict(dict)
    for rule in BRICS.reactionDefs:
        for first, second, bond in rule:
            one, other = (int(label.rstrip("ab")) for label in (first, second))
            found[one][other] = found[other][one] = bond
    return found


COMPATIBLE = _compatible()


def _ends(molecule: Mol) -> list[tuple[int, int]]:
    """Index and kind of each open end."""
    return [(atom.GetIdx(), atom.GetIsotope()) for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]


def _joined(whole: Mol, end: int, partner: Mol, fitting: dict[int, str]) -> Mol:
    """Both with a bond in place of the open end and the partner's first end that fits it."""
    other, label = next((atom, label) for atom, label in _ends(partner) if label in fitting)
    both = Chem.RWMol(Chem.CombineMols(whole, partner))
    other += whole.GetNumAtoms()
    first, second = (both.GetAtomWithIdx(i).GetNeighbors()[0].GetIdx() for i in (end, other))
    both.AddBond(first, second, Chem.BondType.DOUBLE if fitting[label] == "=" else Chem.BondType.SINGLE)
    for index in sorted((end, other), reverse=True):
        both.RemoveAtom(index)
    return sanitised(both.GetMol())
