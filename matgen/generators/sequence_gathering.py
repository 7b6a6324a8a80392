"""From tables with a ``smiles`` column to token sequences that a generator of molecules learns from."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.errors import ConfigError, DataError
from matgen.generators.sequences import SequenceSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rdkit.Chem import Mol

    from matgen.generators.language import MoleculeLanguage

log = logging.getLogger(__name__)


def gather_sequences(
    sources: Sequence[str | Path], model: MoleculeLanguage, exclude: str | Path | None
) -> tuple[pd.DataFrame, SequenceSet]:
    """Read molecules and write each in the orders that the generator learns from.

    A target that the tables do not hold is computed where RDKit can (``logp``, ``qed``, ``tpsa``,
    ``molecular_weight``). What cannot be learned from is left out, counted by reason in the table's ``attrs``.

    Args:
        sources: ``.csv``, ``.csv.gz`` or ``.parquet`` with a ``smiles`` column, or ingested data sets.
        model: Says notation, length, largest molecule, orders and targets.
        exclude: A table whose molecules, by canonical SMILES, must not be learned from.

    Raises:
        DataError: No ``smiles`` column, or nothing is left.
    """
    from rdkit import Chem, rdBase

    table = pd.concat([read_smiles(source) for source in sources], ignore_index=True)
    forbidden = set(read_smiles(exclude)["smiles"]) if exclude is not None else set()
    left_out: Counter[str] = Counter()
    kept, sequences, molecules = [], [], []
    seen: set[str] = set()
    numbers = {text: i for i, text in enumerate(model.texts)}
    for row, text in enumerate(table["smiles"]):
        with rdBase.BlockLogs():
            molecule = Chem.MolFromSmiles(text)
        reason = _unfit(molecule, model.config["max_atoms"])
        canonical = Chem.MolToSmiles(molecule) if molecule is not None else text
        if reason is None and (canonical in seen or text in forbidden or canonical in forbidden):
            reason = "occurs twice or is excluded"
        if reason is None:
            try:
                orders = _orders(model, molecule, np.random.default_rng([0, row]), numbers)
            except (ValueError, KeyError):
                reason = "holds what has no token"
        if reason is None and max(map(len, orders)) > model.length:
            reason = "is too long"
        if reason is not None:
            left_out[reason] += 1
            continue
        seen.add(canonical)
        kept.append(row)
        sequences.append(orders)
        molecules.append(molecule)
    if not kept:
        raise DataError("no molecule is left to learn from.", where=str(list(sources)))
    log.info("molecules left out: %s", dict(left_out) or "none")
    chosen = table.iloc[kept].reset_index(drop=True)
    chosen.attrs["left_out"] = dict(left_out)
    targets = {name: target_values(name, chosen, molecules) for name in model.targets}
    return chosen, SequenceSet.build(sequences, targets)


def read_smiles(source: str | Path) -> pd.DataFrame:
    """A table with a ``smiles`` column.

    Raises:
        DataError: There is none.
    """
    path = Path(source)
    folded = path / "structures.parquet"
    path = folded if folded.exists() else path
    if not path.is_file():
        raise DataError("no such table of molecules.", where=str(path), fix="Give a .csv, .csv.gz or .parquet.")
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    if "smiles" not in table:
        raise DataError("no column 'smiles'.", where=str(path), fix="Ingest the data first: matgen data ingest.")
    return table[table["smiles"].notna()].reset_index(drop=True)


def target_values(name: str, table: pd.DataFrame, molecules: Sequence[Mol]) -> Sequence[float]:
    """Values of a target, from the table or else computed."""
    if name in table:
        return list(table[name].astype(float))
    known = descriptors()
    if name not in known:
        raise ConfigError(f"the data have no column {name}.", where="targets")
    return [float(known[name](molecule)) for molecule in molecules]


def descriptors() -> dict[str, Callable[[Mol], Any]]:
    """Properties that follow from the molecular graph, by property name."""
    from rdkit.Chem import QED, Crippen, Descriptors, rdMolDescriptors

    return {
        "logp": Crippen.MolLogP,  # type: ignore[attr-defined]  # made at import
        "qed": QED.qed,
        "tpsa": rdMolDescriptors.CalcTPSA,
        "molecular_weight": Descriptors.MolWt,  # type: ignore[attr-defined]  # made at import
    }


def _unfit(molecule: Mol | None, max_atoms: int) -> str | None:
    from rdkit import Chem

    if molecule is None:
        return "is no SMILES that RDKit accepts"
    if len(Chem.GetMolFrags(molecule)) != 1:
        return "has several fragments"
    if molecule.GetNumAtoms() > max_atoms:
        return f"has more than {max_atoms} heavy atoms"
    return None


def _orders(
    model: MoleculeLanguage, molecule: Mol, rng: np.random.Generator, numbers: dict[str, int]
) -> list[list[int]]:
    """Numbered tokens of the canonical order and of some that begin at random atoms."""
    roots = [-1, *rng.integers(0, molecule.GetNumAtoms(), model.config["orders"] - 1).tolist()]
    return [[*(numbers[token] for token in model.write(molecule, root)), 0] for root in roots]
