"""Molecules as numbers: circular fingerprints, descriptors, and graphs of atoms and bonds.

Shapes: S molecules, D descriptors, K fingerprint entries, A heavy atoms, E directed bonds.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdFingerprintGenerator

from matgen.data.molecules import parse_smiles, smiles_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core import Composition, Structure
    from rdkit.Chem import Mol
    from torch_geometric.data import Data

DESCRIPTORS: tuple[str, ...] = (
    *("MolWt", "HeavyAtomCount", "NumHeteroatoms", "FractionCSP3", "TPSA", "MolLogP", "MolMR", "LabuteASA"),
    *("NumHAcceptors", "NumHDonors", "NumRotatableBonds", "NumValenceElectrons", "RingCount", "NumAromaticRings"),
    *("NumAliphaticRings", "NumSaturatedRings", "NumAromaticHeterocycles", "NumAliphaticHeterocycles"),
    *("BertzCT", "BalabanJ", "HallKierAlpha", "Kappa1", "Kappa2", "Kappa3"),
    *("Chi0v", "Chi1v", "Chi2v", "Chi3v", "Chi4v", "Chi0n", "Chi1n", "Chi2n", "Chi3n", "Chi4n"),
    *("MaxEStateIndex", "MinEStateIndex", "MaxAbsEStateIndex", "MinAbsEStateIndex"),
    *("MaxPartialCharge", "MinPartialCharge"),
    *("BCUT2D_MWHI", "BCUT2D_MWLOW", "BCUT2D_CHGHI", "BCUT2D_CHGLO"),
    *("BCUT2D_LOGPHI", "BCUT2D_LOGPLOW", "BCUT2D_MRHI", "BCUT2D_MRLOW"),
    *(f"PEOE_VSA{i}" for i in range(1, 15)),
    *(f"SMR_VSA{i}" for i in range(1, 11)),
    *(f"SlogP_VSA{i}" for i in range(1, 13)),
    *(f"EState_VSA{i}" for i in range(1, 12)),
    *(f"VSA_EState{i}" for i in range(1, 11)),
)
"""Names of the D descriptors, all of RDKit: sizes, polarity, topology, charges, surface by kind of atom."""

LARGEST = 1e5
"""Descriptors are cut there; charges of atoms without parameters are infinite."""

BITS, RADIUS = 1024, 2

ATOM_KINDS = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53)
"""Atomic numbers with a place of their own in the features of an atom; all others share one."""

HYBRIDS = (Chem.HybridizationType.SP, Chem.HybridizationType.SP2, Chem.HybridizationType.SP3)
BONDS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)
ATOM_FEATURES = len(ATOM_KINDS) + 1 + 7 + 5 + 5 + len(HYBRIDS) + 6
BOND_FEATURES = len(BONDS) + 4


def descriptors(molecules: Sequence[Structure | str]) -> np.ndarray:
    """(S, D) values of :data:`DESCRIPTORS`; what RDKit cannot compute is 0."""
    return np.array([_descriptors(smiles_of(m)) for m in molecules]).reshape(-1, len(DESCRIPTORS))


def fingerprints(molecules: Sequence[Structure | str], bits: int = BITS, radius: int = RADIUS) -> np.ndarray:
    """(S, K) counts of circular environments, folded to K = ``bits`` entries.

    Rogers and Hahn, J. Chem. Inf. Model. 50, 742 (2010).
    """
    generator = morgan(bits, radius)
    rows = [generator.GetCountFingerprintAsNumPy(parse_smiles(smiles_of(m))) for m in molecules]
    return np.minimum(np.array(rows, dtype=np.int64), 255).astype(np.uint8).reshape(-1, bits)


@cache
def morgan(bits: int = BITS, radius: int = RADIUS) -> Any:
    """RDKit's generator of Morgan fingerprints."""
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)


def compositions(molecules: Sequence[Structure | str]) -> list[Composition]:
    """Composition of each molecule, hydrogens included."""
    from pymatgen.core import Composition

    from matgen.data.molecule_gate import hill_formula

    return [Composition(hill_formula(parse_smiles(smiles_of(m)))) for m in molecules]


def to_bond_graph(material: Structure | str) -> Data:
    """Graph of heavy atoms and bonds as a torch-geometric ``Data``.

    Fields: ``numbers (A,)``, ``atoms (A, ATOM_FEATURES)``, ``edge_index (2, E)`` with each bond in both directions,
    ``bonds (E, BOND_FEATURES)``.
    """
    return bond_graph_of(parse_smiles(smiles_of(material)))


def bond_graph_of(found: Mol) -> Data:
    """As :func:`to_bond_graph`, of a sanitised RDKit molecule, whose order of atoms stays."""
    import torch
    from torch_geometric.data import Data

    rows = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), _bond(b)) for b in found.GetBonds()]
    both = [*rows, *((j, i, features) for i, j, features in rows)]
    return Data(
        numbers=torch.tensor([atom.GetAtomicNum() for atom in found.GetAtoms()]),
        atoms=torch.tensor([_atom(atom) for atom in found.GetAtoms()], dtype=torch.float32),
        edge_index=torch.tensor([[i, j] for i, j, _ in both], dtype=torch.long).reshape(-1, 2).T.contiguous(),
        bonds=torch.tensor([f for _, _, f in both], dtype=torch.float32).reshape(-1, BOND_FEATURES),
        num_nodes=found.GetNumAtoms(),
    )


def _atom(atom: Any) -> list[float]:
    kind = ATOM_KINDS.index(atom.GetAtomicNum()) if atom.GetAtomicNum() in ATOM_KINDS else len(ATOM_KINDS)
    blocks = [
        _one_hot(kind, len(ATOM_KINDS) + 1),
        _one_hot(min(atom.GetDegree(), 6), 7),
        _one_hot(min(atom.GetTotalNumHs(), 4), 5),
        _one_hot(min(max(atom.GetFormalCharge(), -2), 2) + 2, 5),
        [float(atom.GetHybridization() == h) for h in HYBRIDS],
        [float(atom.GetIsAromatic()), float(atom.IsInRing()), *(float(atom.IsInRingSize(n)) for n in (3, 4, 5, 6))],
    ]
    return [value for block in blocks for value in block]


def _bond(bond: Any) -> list[float]:
    kind = [float(bond.GetBondType() == kind) for kind in BONDS]
    stereo = bond.GetStereo()
    sides = [float(stereo == Chem.BondStereo.STEREOE), float(stereo == Chem.BondStereo.STEREOZ)]
    return [*kind, float(bond.GetIsConjugated()), float(bond.IsInRing()), *sides]


def _one_hot(place: int, size: int) -> list[float]:
    return [float(i == place) for i in range(size)]


@cache
def _functions() -> tuple[Callable[[Mol], float], ...]:
    by_name = dict(Descriptors.descList)
    return tuple(by_name[name] for name in DESCRIPTORS)


@lru_cache(maxsize=50_000)
def _descriptors(smiles: str) -> tuple[float, ...]:
    found = parse_smiles(smiles)
    with rdBase.BlockLogs():
        values = np.array([function(found) for function in _functions()], dtype=float)
    return tuple(np.clip(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), -LARGEST, LARGEST).tolist())
