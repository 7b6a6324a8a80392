"""Metrics of sets of molecules, as MOSES defines them, and of molecules in space, as QM9 papers do.

Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020); Hoogeboom et al., ICML 2022 (EDM). Shapes: S molecules,
R reference molecules, K fingerprint entries.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rdkit.Chem import BRICS, QED
from scipy.stats import wasserstein_distance

from matgen.constraints.molecule_quality import log_p, molecular_weight, sa_score
from matgen.data.molecules import canonical, canonical_of, parse_smiles, perceived, scaffold
from matgen.data.structures import column_names, read_structures
from matgen.errors import ConfigError, DataError
from matgen.features.molecules import fingerprints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pymatgen.core import Structure
    from rdkit.Chem import Mol

PROPERTIES: dict[str, Callable[[Mol], float]] = {
    "logp": log_p,
    "sa": sa_score,
    "qed": QED.qed,
    "weight": molecular_weight,
}
"""Properties whose distributions are compared."""

FRECHET_BITS = 128
"""Entries of the fingerprints whose distributions are compared; few, so that sets of 1,000 determine a covariance."""

MOST_PAIRS = 2000
"""Molecules of either set in comparisons of all pairs; more are drawn by a fixed seed."""

DISTANCES = {
    1: {
        frozenset(p): d
        for p, d in [
            (("H", "H"), 74),
            (("H", "C"), 109),
            (("H", "N"), 101),
            (("H", "O"), 96),
            (("H", "F"), 92),
            (("C", "C"), 154),
            (("C", "N"), 147),
            (("C", "O"), 143),
            (("C", "F"), 135),
            (("N", "N"), 145),
            (("N", "O"), 140),
            (("N", "F"), 136),
            (("O", "O"), 148),
            (("O", "F"), 142),
            (("F", "F"), 142),
        ]
    },
    2: {
        frozenset(p): d
        for p, d in [
            (("C", "C"), 134),
            (("C", "N"), 129),
            (("C", "O"), 120),
            (("N", "N"), 125),
            (("N", "O"), 121),
            (("O", "O"), 121),
        ]
    },
    3: {frozenset(p): d for p, d in [(("C", "C"), 120), (("C", "N"), 116), (("C", "O"), 113), (("N", "N"), 110)]},
}
"""Lengths of bonds by order, pm, as tables of average bond lengths give them and EDM uses them."""

MARGINS = {1: 10, 2: 5, 3: 3}
"""pm by which a bond may be longer than its typical length."""

VALENCES = {"H": 1, "C": 4, "N": 3, "O": 2, "F": 1}
"""Bonds that a stable atom of QM9 has."""


def set_metrics(
    smiles: Sequence[str], train: Sequence[str], reference: Sequence[str], ks: Sequence[int] = (1000, 10_000)
) -> dict[str, Any]:
    """Metrics of generated molecules against a training set and a reference (test) set.

    Args:
        smiles: Generated, whatever a generator wrote; rows that are no molecule count as invalid.
        train: Molecules that the generator learned from.
        reference: Molecules of the same kind that it did not see.
        ks: Numbers of first valid molecules of which uniqueness is the share of different ones.

    Returns:
        ``valid`` (share of all), ``unique@k`` and ``novel`` (share of the different valid ones that are not in
        ``train``), ``snn`` (mean Tanimoto similarity to the nearest of the reference), ``fragments`` and ``scaffolds``
        (cosine similarity of their counts), ``diversity`` (one minus the mean similarity of all pairs), ``frechet``
        (the substitute of FCD, see :func:`frechet`),
        ``wasserstein`` by property, and the same of the reference against half of itself as ``ceiling``.
    """
    valid = [text for text in map(_canonical, smiles) if text is not None]
    if not valid:
        raise DataError("not one valid molecule to judge.")
    known = {text for text in map(_canonical, train) if text is not None}
    different = list(dict.fromkeys(valid))
    right = [text for text in map(_canonical, reference) if text is not None]
    found: dict[str, Any] = {"n": len(smiles), "valid": len(valid) / len(smiles)}
    found |= {f"unique@{k}": len(set(valid[:k])) / k for k in ks if k <= len(valid)}
    found["unique"] = len(different) / len(valid)
    found["novel"] = float(np.mean([text not in known for text in different]))
    half = len(right) // 2
    return {
        **found,
        **distribution_metrics(different, right),
        "ceiling": distribution_metrics(right[:half], right[half:]) if half else {},
    }


def distribution_metrics(made: Sequence[str], reference: Sequence[str]) -> dict[str, Any]:
    """Similarity of two sets of canonical SMILES, see :func:`set_metrics`."""
    prints, others = (_bits(_some(texts)) for texts in (made, reference))
    alike = tanimoto(prints, others)
    within = tanimoto(prints, prints)
    parts, skeletons = _fragments, partial(_counted, function=scaffold)
    values = {text: _properties(text) for text in {*_some(made), *_some(reference)}}
    distances = {
        name: float(wasserstein_distance(*([values[t][name] for t in _some(texts)] for texts in (made, reference))))
        for name in PROPERTIES
    }
    return {
        "snn": float(alike.max(axis=1).mean()),
        "fragments": cosine(parts(_some(made)), parts(_some(reference))),
        "scaffolds": cosine(skeletons(_some(made)), skeletons(_some(reference))),
        "diversity": float(1 - within.mean()),
        "frechet": frechet(*(fingerprints(_some(texts), FRECHET_BITS) for texts in (made, reference))),
        "wasserstein": distances,
    }


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of two normal distributions fitted to counts (S, K) and (R, K), each in units of the second's.

    |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), as FCD has it (Preuer et al., J. Chem. Inf. Model. 58, 1736, 2018), on
    circular fingerprints instead of a network's activations. NaN for fewer than two molecules in a set.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    unit = np.where(second.std(axis=0) > 0, second.std(axis=0), 1.0)
    first, second = first / unit, second / unit
    one, other = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(0)).sum()
    moved = float(((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum())
    return max(0.0, moved + float(np.trace(one) + np.trace(other) - 2 * shared))


def tanimoto(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(S, R) shared entries over all entries of binary fingerprints (S, K) and (R, K)."""
    first, second = first.astype(np.float32), second.astype(np.float32)
    shared = first @ second.T
    return np.asarray(shared / np.maximum(first.sum(1)[:, None] + second.sum(1)[None] - shared, 1.0))


def cosine(first: Mapping[str, int], second: Mapping[str, int]) -> float:
    """Cosine of the angle between two vectors of counts; 0 where either is empty."""
    keys = sorted({*first, *second})
    a, b = (np.array([counts.get(key, 0) for key in keys], dtype=float) for counts in (first, second))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b / size) if size else 0.0


def space_metrics(structures: Sequence[Structure], train: Sequence[str] = ()) -> dict[str, float]:
    """Metrics of molecules in space with explicit hydrogens (C, H, N, O, F for the stabilities).

    Returns:
        ``atom_stable`` (share of atoms with the right number of bonds by distances), ``molecule_stable`` (share of
        molecules of stable atoms only), ``valid`` (share in which RDKit finds one molecule by bonds and orders from the
        coordinates), ``unique`` (of the valid) and, given training molecules, ``novel`` (of the different valid).
    """
    stable = [stable_atoms(structure) for structure in structures]
    smiles = [text for text in map(_perceived, structures) if text is not None]
    different = set(smiles)
    found = {
        "n": float(len(structures)),
        "atom_stable": float(np.mean(np.concatenate(stable))),
        "molecule_stable": float(np.mean([s.all() for s in stable])),
        "valid": len(smiles) / len(structures),
        "unique": len(different) / len(smiles) if smiles else 0.0,
    }
    known = {text for text in map(_canonical, train) if text is not None}
    return found | ({"novel": float(np.mean([t not in known for t in different]))} if known and different else {})


def stable_atoms(structure: Structure) -> np.ndarray:
    """(A,) whether each atom has as many bonds, by tables of lengths, as its element should."""
    symbols = [site.specie.symbol for site in structure]
    apart = 100 * np.linalg.norm(structure.cart_coords[:, None] - structure.cart_coords[None], axis=-1)
    bonds = np.zeros(len(symbols), dtype=int)
    for i, first in enumerate(symbols):
        for j in range(i):
            order = bond_order(first, symbols[j], float(apart[i, j]))
            bonds[i] += order
            bonds[j] += order
    return np.array([bonds[i] == VALENCES.get(symbol, -1) for i, symbol in enumerate(symbols)])


def bond_order(first: str, second: str, distance: float) -> int:
    """Order of the bond of two elements at a distance in pm; 0 for none."""
    pair = frozenset((first, second))
    orders = [o for o in (3, 2, 1) if pair in DISTANCES[o] and distance < DISTANCES[o][pair] + MARGINS[o]]
    return orders[0] if orders else 0


def _canonical(smiles: Any) -> str | None:
    try:
        return canonical(smiles)
    except DataError:
        return None


def _perceived(structure: Structure) -> str | None:
    try:
        return canonical_of(perceived(structure))
    except DataError:
        return None


def _some(texts: Sequence[str]) -> list[str]:
    if len(texts) <= MOST_PAIRS:
        return list(texts)
    return [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:MOST_PAIRS]]


def _bits(texts: Sequence[str]) -> np.ndarray:
    return fingerprints(texts) > 0


def _fragments(texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(BRICS.BRICSDecompose(parse_smiles(text)))
    return counts


def _counted(texts: Sequence[str], function: Callable[[str], str]) -> Counter[str]:
    return Counter(found for found in map(function, texts) if found)


def _properties(text: str) -> dict[str, float]:
    molecule = parse_smiles(text)
    return {name: float(function(molecule)) for name, function in PROPERTIES.items()}


def evaluate_molecules(
    file: str | Path, reference: str | Path | None = None, train: str | Path | None = None
) -> dict[str, Any]:
    """Metrics of a file of molecules with their protocol.

    Args:
        file: A table with a column ``smiles`` or a list of SMILES (``.smi``), rows that are no molecule included; or
            molecules in space (``.xyz``, ``.extxyz``, ``.db``, or ``.parquet`` with coordinates).
        reference: A table of molecules whose distribution is sought; needed for SMILES.
        train: A table of the molecules that were learned from, for novelty.

    Raises:
        ConfigError: No reference for SMILES.
    """
    path = Path(file)
    known = read_smiles_column(train) if train is not None else []
    in_space = path.suffix in {".xyz", ".extxyz", ".db"}
    if in_space or (path.suffix == ".parquet" and "cell" in column_names(path)):
        _, structures = read_structures(path)
        return {**space_metrics(structures, known), "protocol": SPACE_PROTOCOL}
    if reference is None:
        raise ConfigError("no molecules to compare with.", where="--reference", fix="Name a table with smiles.")
    return {
        **set_metrics(read_smiles_column(path), known, read_smiles_column(reference)),
        "protocol": SET_PROTOCOL + ("" if known else " No training set was given: 'novel' says nothing."),
    }


SET_PROTOCOL = (
    "valid: RDKit sanitises, share of all rows. unique@k: different ones among the first k valid. novel: share of the "
    "different valid ones, by canonical isomeric SMILES, outside of the training set. snn, fragments, scaffolds, "
    f"diversity, wasserstein: Morgan radius 2, 1024 bits; at most {MOST_PAIRS} molecules of either set; after MOSES, "
    "without FCD, whose network is no part of matgen. frechet: in its place, the Fréchet distance of Morgan counts "
    f"folded to {FRECHET_BITS} entries. ceiling: the reference's one half against the other."
)
SPACE_PROTOCOL = (
    "atom_stable, molecule_stable: bond orders by the distance table of EDM, explicit hydrogens. valid: RDKit finds "
    "bonds and orders of one molecule from the coordinates (rdDetermineBonds, charge 0)."
)


def read_smiles_column(path: str | Path) -> list[str]:
    """Texts in the column ``smiles`` of a table, a data set, or the first words of a ``.smi`` file.

    Raises:
        DataError: There is no such file or column.
    """
    path = Path(path)
    path = path / "structures.parquet" if path.is_dir() else path
    if not path.is_file():
        raise DataError("no such table of molecules.", where=str(path), fix="Check the path.")
    if path.suffix == ".smi":
        lines = path.read_text(encoding="utf-8").splitlines()
        return [line.split()[0] for line in lines if line.strip()]
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, keep_default_na=False)
    if "smiles" not in table:
        raise DataError("no column 'smiles'.", where=str(path), fix=f"Columns: {', '.join(map(str, table.columns))}.")
    return [str(text) for text in table["smiles"]]
