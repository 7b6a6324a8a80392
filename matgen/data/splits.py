"""Splits of a data set, by what must not lie on both sides; and what does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from matgen.data.dataset import Dataset, content_fingerprint
from matgen.errors import ConfigError, did_you_mean
from matgen.runtime import Streams

if TYPE_CHECKING:
    from collections.abc import Sequence

By = Literal["random", "formula", "chemical_system", "scaffold", "time"]
SPLIT_NAMES = ("train", "val", "test")


def split(
    dataset: Dataset,
    by: By = "formula",
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    column: str | None = None,
) -> Dataset:
    """A data set in memory with new splits; see :func:`assign_splits`."""
    table = dataset.table.copy()
    table["split"] = assign_splits(
        table, by, fractions=fractions, rng=Streams(seed, f"split by {by}").at(0), column=column
    )
    card = {
        **dataset.card,
        "splits": {name: int((table["split"] == name).sum()) for name in SPLIT_NAMES},
        "formulas_in_two_splits": shared_formulas(table),
        "split_by": {"by": by, "fractions": list(fractions), "seed": seed},
        "fingerprint": content_fingerprint(table, dataset.packed),
    }
    return Dataset(table, dataset.packed, dataset.quarantine, card)


def assign_splits(
    table: pd.DataFrame,
    by: By = "random",
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    rng: np.random.Generator | None = None,
    column: str | None = None,
) -> list[str]:
    """A split for each row; rows that resemble each other (``group``) share one, except when time decides.

    Args:
        table: N rows with ``formula``, and ``group`` where structures were compared.
        by: ``formula``, ``chemical_system`` and ``scaffold`` (ring systems of a molecule with their linkers, after
            Murcko) keep equal ones in one split, ``time`` puts the oldest rows into train and the youngest into test,
            ``random`` keeps only groups together.
        fractions: Shares of train, val and test; they are met as closely as whole groups allow.
        rng: Shuffles; needed for all but ``time``.
        column: Column that says when; the first of ``year``, ``date``, ... if not given.

    Raises:
        ConfigError: The fractions do not add up to 1, or there is no such column.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1.0) > 1e-9:
        raise ConfigError(f"fractions {tuple(fractions)} are not three shares of 1.", where="fractions")
    if by == "time":
        return _by_order(_ages(table, column), fractions)
    if by == "scaffold" and "smiles" not in table:
        raise ConfigError("only molecules have scaffolds.", where="by", fix="Split by formula.")
    if by not in {"random", "formula", "chemical_system", "scaffold"}:
        raise ConfigError(f"no split by {by!r}.", where="by", fix=did_you_mean(by, ["random", "formula", "time"]))
    if rng is None:
        raise ConfigError("a shuffled split needs a seed.", where="seed")
    units = _units(table, by)
    names, inverse = np.unique(units, return_inverse=True)
    return _fill(inverse, rng.permutation(len(names)), fractions)


def shared_formulas(table: pd.DataFrame) -> dict[str, int]:
    """Number of reduced formulas that occur in both of two splits, for each pair of splits that share any."""
    split = table["split"].fillna("")
    formulas = {str(name): set(table["formula"][split == name]) for name in sorted(split.unique()) if name}
    pairs = [(a, b) for a in formulas for b in formulas if a < b]
    return {f"{a} and {b}": len(formulas[a] & formulas[b]) for a, b in pairs if formulas[a] & formulas[b]}


def chemical_system(formula: str) -> str:
    """Elements of a formula, sorted and joined by hyphens."""
    from pymatgen.core import Composition

    return str(Composition(formula).chemical_system)


def _units(table: pd.DataFrame, by: By) -> np.ndarray:
    """(N,) label of the smallest unit that one split takes whole."""
    group: Any = table["group"] if "group" in table else pd.Series(range(len(table)))
    if by == "random":
        return group.to_numpy()
    if by == "scaffold":
        from matgen.data.molecules import scaffold

        return table["smiles"].map(scaffold).to_numpy(dtype=str)
    # Rows of a group have one formula, so formulas and chemical systems never cut a group.
    formulas = table["formula"]
    return (formulas if by == "formula" else formulas.map(chemical_system)).to_numpy(dtype=str)


def _fill(unit: np.ndarray, order: np.ndarray, fractions: Sequence[float]) -> list[str]:
    """Give each unit, in a shuffled order, to the split that lacks most of its share."""
    sizes = np.bincount(unit)
    wanted = np.array(fractions) * len(unit)
    held = np.zeros(3)
    chosen = np.empty(len(sizes), dtype=int)
    for number in order:
        open_share = np.where(np.array(fractions) > 0, wanted - held, -np.inf)
        chosen[number] = int(np.argmax(open_share))
        held[chosen[number]] += sizes[number]
    return [SPLIT_NAMES[chosen[number]] for number in unit]


def _by_order(ages: pd.Series, fractions: Sequence[float]) -> list[str]:
    """Oldest first; rows of the same age are not torn apart."""
    rank = ages.rank(method="min").to_numpy() - 1
    bounds = np.cumsum(fractions)[:2] * len(ages)
    return [SPLIT_NAMES[int(np.searchsorted(bounds, place + 1e-9, side="right"))] for place in rank]


def _ages(table: pd.DataFrame, column: str | None) -> pd.Series:
    known = [name for name in ("year", "date", "time", "timestamp", "created_at", "last_updated") if name in table]
    name = column or next(iter(known), None)
    if name is None or name not in table:
        raise ConfigError(
            f"no column {name!r} that says when." if name else "no column says when.",
            where="column",
            fix=did_you_mean(name or "year", list(map(str, table.columns))),
        )
    ages = pd.to_numeric(table[name], errors="coerce")
    if ages.isna().any():
        ages = pd.to_datetime(table[name], errors="coerce", format="ISO8601", utc=True)
    if ages.isna().any():
        raise ConfigError(f"{int(ages.isna().sum())} rows of {name!r} are neither numbers nor dates.", where=str(name))
    return ages
