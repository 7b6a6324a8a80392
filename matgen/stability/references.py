"""Tables of reference energies, from which convex hulls are built."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.analysis.phase_diagram import PDEntry
from pymatgen.core import Composition

from matgen.errors import ConfigError, DataError, did_you_mean
from matgen.runtime import file_id, whole_file, write_json
from matgen.stability.energy import Energies, EnergyScale

if TYPE_CHECKING:
    from collections.abc import Iterable

SHIPPED = Path(__file__).parent / "references"
ENTRIES, CARD = "entries.parquet", "card.json"
COLUMNS = ("formula", "energy", "n_atoms", "relaxed", "origin")


@dataclass(frozen=True)
class ReferenceTable:
    """The lowest known energy of each composition on one energy scale.

    Args:
        entries: ``formula`` (reduced), ``energy`` (eV/atom), ``n_atoms`` (of the cell it was computed in), ``relaxed``
            (or a single point), ``origin`` (``element``, ``known`` structure, or one ``guessed`` for a composition that
            is known).
        scale: What the energies are measured on.
        name: What the hull is called, for example ``chgnet-0.3.0``.
        card: How the table was made, and its gaps.
    """

    entries: pd.DataFrame
    scale: EnergyScale
    name: str
    card: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bad = self.entries.loc[~np.isfinite(self.entries["energy"].to_numpy(dtype=float)), "formula"]
        if len(bad):
            raise DataError(f"no finite energy for {', '.join(bad[:5])}.", where=self.name)

    @cached_property
    def by_system(self) -> dict[frozenset[str], list[PDEntry]]:
        """Phase-diagram entries by the exact set of their elements."""
        found: dict[frozenset[str], list[PDEntry]] = defaultdict(list)
        for formula, energy in zip(self.entries["formula"], self.entries["energy"], strict=True):
            composition = Composition(formula)
            system = frozenset(element.symbol for element in composition.elements)
            found[system].append(PDEntry(composition, float(energy) * composition.num_atoms, name=formula))
        return dict(found)

    @cached_property
    def element_energies(self) -> dict[str, float]:
        """Reference energy of each element, eV/atom."""
        elements = {s: entries for s, entries in self.by_system.items() if len(s) == 1}
        return {next(iter(s)): min(e.energy_per_atom for e in entries) for s, entries in elements.items()}

    def within(self, system: Iterable[str]) -> list[PDEntry]:
        """All entries made of these elements and no others, elements included."""
        symbols = sorted(set(system))
        subsets = (frozenset(c) for k in range(1, len(symbols) + 1) for c in combinations(symbols, k))
        return [entry for subset in subsets for entry in self.by_system.get(subset, ())]

    def formation_energies(self, compositions: Iterable[Composition], energies: Energies) -> np.ndarray:
        """(S,) Formation energy per atom against the elements, eV/atom; NaN where an element has no reference.

        Args:
            compositions: S compositions.
            energies: Theirs; on another scale than the table's, they are a ConfigError.
        """
        known = self.element_energies
        elemental = [
            sum(known.get(element.symbol, np.nan) * share for element, share in c.fractional_composition.items())
            for c in compositions
        ]
        return energies.on(self.scale, f"reference {self.name}") - np.array(elemental, dtype=float)

    def save(self, folder: str | Path) -> None:
        """Write ``entries.parquet`` and ``card.json``."""
        folder = Path(folder)
        with whole_file(folder / ENTRIES) as temporary:
            self.entries.to_parquet(temporary, index=False, compression="zstd")
        scale = {"potential": self.scale.potential, "correction": self.scale.correction}
        write_json(folder / CARD, {"name": self.name, **scale, **self.card, "fingerprint": file_id(folder / ENTRIES)})

    @classmethod
    def open(cls, folder: str | Path) -> ReferenceTable:
        """Read what :meth:`save` wrote; entries and card that do not fit each other are a DataError."""
        folder = Path(folder)
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if card.get("fingerprint") != file_id(folder / ENTRIES):
            raise DataError("entries and card do not belong together.", where=str(folder), fix="Copy the folder again.")
        scale = EnergyScale(card["potential"], card["correction"])
        return cls(pd.read_parquet(folder / ENTRIES), scale, card["name"], card)


def load_reference(name: str | Path = "chgnet-0.3.0", systems: Iterable[Iterable[str]] | None = None) -> ReferenceTable:
    """A shipped table by name, a folder that :meth:`ReferenceTable.save` wrote, a user's own table, or ``mp``.

    A user's table is CSV or Parquet with ``formula``, ``energy`` (eV/atom), ``potential`` and, if the energies contain
    corrections, ``correction``. ``mp`` asks the Materials Project for its energies by density functional theory (see
    :func:`matgen.stability.project_reference.project_reference`); ``mp?functional=R2SCAN`` for those of another
    functional.

    Args:
        name: Which table.
        systems: Chemical systems that ``mp`` is asked for.

    Raises:
        ConfigError: No such table.
        DataError: The table lacks columns or mixes scales.
    """
    if str(name).partition("?")[0] == "mp":
        from matgen.stability.project_reference import named_reference

        return named_reference(str(name), systems)
    return _load(str(name))


def shipped_references() -> list[str]:
    """Names of the tables in the package."""
    return sorted(card.parent.name for card in SHIPPED.glob(f"*/{CARD}"))


@lru_cache(maxsize=8)
def _load(name: str) -> ReferenceTable:
    folder = next((f for f in (SHIPPED / name, Path(name)) if (f / CARD).is_file()), None)
    if folder is not None:
        return ReferenceTable.open(folder)
    if Path(name).is_file():
        return _load_file(Path(name))
    raise ConfigError(f"no reference table {name!r}.", where="reference", fix=did_you_mean(name, shipped_references()))


def _load_file(path: Path) -> ReferenceTable:
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, keep_default_na=False, na_values=[""])  # the formula NaN is sodium nitride
    except Exception as error:  # readers raise a dozen unrelated types
        raise DataError(f"unreadable table: {error}", where=str(path)) from error
    missing = [name for name in ("formula", "energy", "potential") if name not in table]
    if missing:
        raise DataError(
            f"no columns {', '.join(missing)}.",
            where=str(path),
            fix="A reference table has formula, energy (eV/atom), potential and, if there are corrections, correction.",
        )
    corrections = table["correction"] if "correction" in table else pd.Series("none", index=table.index)
    scale = EnergyScale.common(table["potential"].astype(str) + "/" + corrections.astype(str), str(path))
    table = table.assign(formula=[_reduced(f, path) for f in table["formula"]], energy=_floats(table["energy"], path))
    return ReferenceTable(
        lowest(table.assign(n_atoms=0, relaxed=True, origin="known")[list(COLUMNS)]), scale, path.stem
    )


def lowest(entries: pd.DataFrame) -> pd.DataFrame:
    """The lowest row of each formula, sorted by formula."""
    best = entries.sort_values(["formula", "energy"], kind="stable").drop_duplicates("formula")
    return best.reset_index(drop=True)


def _reduced(formula: object, path: Path) -> str:
    try:
        return str(Composition(str(formula), strict=True).reduced_formula)
    except (ValueError, KeyError) as error:
        raise DataError(f"{formula!r} is no formula.", where=str(path)) from error


def _floats(values: pd.Series, path: Path) -> pd.Series:
    try:
        return values.astype(float)
    except ValueError as error:
        raise DataError(f"energies must be numbers: {error}.", where=str(path)) from error
