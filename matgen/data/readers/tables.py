"""Tables: CSV (also compressed, also with semicolons or tabs) and Parquet, with structures or with formulas alone."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.data.columns import NAMES, Role, plain, roles
from matgen.data.readers.base import READERS, UNPACKING_ERRORS, Reader, head, open_bytes
from matgen.data.records import Format, Record, split_name, split_of_file
from matgen.data.structures import SMILES, STRUCTURE_COLUMNS
from matgen.elements import symbols
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LONGEST_FIELD = 16 * 1024 * 1024
"""Characters in one field of a CSV."""

SEPARATORS = ",;\t|"

CONTENT: dict[Role, Format] = {
    "cif": "cif",
    "poscar": "poscar",
    "document": "document",
    "smiles": "smiles",
    "selfies": "selfies",
    "formula": "formula",
    "label": "formula",
}
"""Roles that can be the content of a record, best first."""


@READERS.register("csv")
class CsvTable(Reader):
    """CSV with a header, comma, semicolon, tab or bar between fields; also .gz, .bz2 and .xz."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """A first line that names columns which matgen knows."""
        line = head.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace")
        known = set(chain.from_iterable(NAMES[role] for role in CONTENT))
        return any(plain(name.strip('" \r')) in known for name in line.split(_separator(line)))

    def read(self, source: str) -> Iterator[Record]:
        """One record a row; a row with too few or too many fields is a record with a problem."""
        path = Path(source)
        rows = _rows(path)
        header = _header(next(rows, None), path)
        layout = Layout.of(header, path, first := list(islice(rows, 50)))
        empty = True
        for number, (fields, notes) in enumerate(chain(first, rows), start=1):
            empty = False
            if len(fields) != len(header):
                problem = f"the row has {len(fields)} fields, the header {len(header)}"
                yield Record(number, path.name, layout.format, ",".join(fields), problem=problem)
                continue
            row = {name: value for name, value in zip(header, fields, strict=True) if value != ""}
            yield layout.record(number, row, notes)
        if empty:
            raise DataError("a header but no rows.", where=source)


@READERS.register("parquet")
class ParquetTable(Reader):
    """Parquet with a column of CIFs, POSCARs or formulas, or with matgen's own structure columns."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """The mark of Parquet."""
        return head.startswith(b"PAR1")

    def read(self, source: str) -> Iterator[Record]:
        """One record a row."""
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        path, number = Path(source), 0
        try:
            with ParquetFile(path) as file:
                layout = None
                for batch in file.iter_batches(batch_size=1024):
                    rows = batch.to_pylist()
                    layout = layout or Layout.of(file.schema_arrow.names, path, [(list(r.values()), ()) for r in rows])
                    for row in rows:
                        number += 1
                        yield layout.record(number, {k: _plain_value(v) for k, v in row.items() if v is not None})
        except (ArrowException, OSError, ValueError) as error:
            raise DataError(f"unreadable Parquet ({' '.join(str(error).split())[:200]}).", where=source) from error
        if number == 0:
            raise DataError("no rows.", where=source)


@dataclass(frozen=True)
class Layout:
    """What the columns of one table mean.

    Args:
        source: Name of the file.
        columns: Role of each column.
        format: How the content is written.
        content: Column of the content; None where matgen's own structure columns hold it.
        split: Split that the name of the file speaks of.
    """

    source: str
    columns: dict[str, Role]
    format: Format
    content: str | None
    split: str | None

    @classmethod
    def of(cls, header: Sequence[str], path: Path, first: Sequence[tuple[Sequence[Any], object]]) -> Layout:
        """Read the layout off a header and the first rows.

        Raises:
            DataError: A name occurs twice, or there is neither a structure nor a formula.
        """
        named = [name for name in header if plain(name) not in {"", "unnamed:_0"}]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise DataError(f"the column {twice[0]!r} occurs twice.", where=str(path), fix="Rename one of them.")
        columns = roles(header)
        if set(STRUCTURE_COLUMNS) <= set(header):
            # Molecules with geometries are told by their SMILES, which only they have.
            if SMILES in header:
                return cls(path.name, columns, "conformer", None, split_of_file(path.name))
            return cls(path.name, columns, "sites", None, split_of_file(path.name))
        for role, kind in CONTENT.items():
            for i, column in enumerate(header):
                values = [row[i] for row, _ in first if len(row) == len(header) and row[i]]
                if columns[column] == role and _looks_like(kind, values):
                    return cls(path.name, columns, kind, column, split_of_file(path.name))
        raise DataError(
            "neither a structure nor a formula nor SMILES among the columns.",
            where=str(path),
            fix=f"Call one cif, poscar, structure, smiles or formula; found: {', '.join(named)[:300] or 'none'}.",
        )

    def record(self, number: int, row: dict[str, Any], notes: tuple[str, ...] = ()) -> Record:
        """The record of one row, given its values that are not missing."""
        by_role = {self.columns[name]: value for name, value in row.items()}
        used = {self.content, *STRUCTURE_COLUMNS} if self.content is None else {self.content}
        kept = {"value", "time", "document", "cif", "poscar"}
        values = {n: v for n, v in row.items() if n not in used and self.columns[n] in kept and _is_scalar(v)}
        split = split_name(str(by_role["split"])) if "split" in by_role else self.split
        made = _conformer(row) if self.format == "conformer" else _sites(row)
        content = made if self.content is None else row.get(self.content)
        formula = by_role.get("formula") if self.format != "formula" else None
        return Record(
            number,
            self.source,
            self.format,
            content if isinstance(content, str | dict) else "",
            id=str(by_role["id"]) if "id" in by_role else None,
            formula=str(formula) if formula is not None else None,
            split=split,
            values=values,
            problem=None if isinstance(content, str | dict) else f"no {self.content or 'structure'} in this row",
            notes=notes,
        )


def _rows(path: Path) -> Iterator[tuple[list[str], tuple[str, ...]]]:
    """Fields of each row and what was repaired in it."""
    before = csv.field_size_limit(LONGEST_FIELD)
    start, separator = head(path), _separator_of(path)
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        with (
            open_bytes(path) as raw,
            io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="") as text,
        ):
            for fields in csv.reader(text, delimiter=separator):
                if fields:
                    yield _mended(fields)
    except (*UNPACKING_ERRORS, UnicodeError) as error:
        raise DataError(f"cannot be read to its end ({error}).", where=str(path), fix="Fetch it again.") from error
    except csv.Error as error:
        raise DataError(
            f"no CSV ({error}).", where=str(path), fix="Look for a quotation mark that never closes."
        ) from error
    finally:
        csv.field_size_limit(before)


def _mended(fields: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Fields in which bytes that are not UTF-8 are read as Windows-1252."""
    if all(field.isascii() or field.isprintable() for field in fields) or not any(map(_is_broken, fields)):
        return fields, ()
    mended = [f.encode("utf-8", "surrogateescape").decode("cp1252", "replace") if _is_broken(f) else f for f in fields]
    return mended, ("text is not UTF-8, read as Windows-1252",)


def _is_broken(text: str) -> bool:
    return any("\udc80" <= c <= "\udcff" for c in text)


def _header(first: tuple[list[str], tuple[str, ...]] | None, path: Path) -> list[str]:
    if first is None:
        raise DataError("the file is empty.", where=str(path))
    names = [name.strip() for name in first[0]]
    if any(not c.isprintable() for name in names for c in name) or any(len(name) > 200 for name in names):
        raise DataError("no table: its first line is not a header.", where=str(path))
    return names


def _separator_of(path: Path) -> str:
    start = head(path)
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return _separator(start.decode(encoding, errors="replace").split("\n", 1)[0])


def _separator(line: str) -> str:
    """The separator that occurs most often in the header."""
    return max(SEPARATORS, key=line.count)


def _looks_like(kind: Format, values: Iterable[Any]) -> bool:
    """A column called 'structure' may hold words; only dictionaries count."""
    first = next(iter(values), None)
    return kind != "document" or first is None or isinstance(first, dict) or str(first).lstrip().startswith("{")


def _sites(row: dict[str, Any]) -> dict[str, Any] | None:
    if not all(isinstance(row.get(name), list) for name in STRUCTURE_COLUMNS):
        return None
    frac, cell = row["frac"], row["cell"]
    return {
        "cell": [cell[i : i + 3] for i in range(0, len(cell), 3)],
        "frac": [frac[i : i + 3] for i in range(0, len(frac), 3)],
        "species": [{str(z): 1.0} for z in row["numbers"]],
        "pbc": [True, True, True],
    }


def _conformer(row: dict[str, Any]) -> dict[str, Any] | None:
    if not all(isinstance(row.get(name), list) for name in STRUCTURE_COLUMNS) or SMILES not in row:
        return None
    places = [row["frac"][i : i + 3] for i in range(0, len(row["frac"]), 3)]
    return {"smiles": row[SMILES], "elements": [symbols()[int(z)] for z in row["numbers"]], "positions": places}


def _plain_value(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)
