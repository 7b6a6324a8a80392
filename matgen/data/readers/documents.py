"""JSON and JSON lines as pymatgen, the Materials Project and JARVIS write them: structures and entries.

A document is a dictionary that is a structure or holds one. Only plain values are taken from it: pymatgen's own
decoder would import whatever module a file names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.data.columns import NAMES
from matgen.data.readers.base import READERS, UNPACKING_ERRORS, Reader, decode, open_bytes, plain_stem, read_bytes
from matgen.data.records import Record, split_name, split_of_file
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLASSES = frozenset({"Structure", "IStructure", "ComputedStructureEntry", "GibbsComputedStructureEntry", "SummaryDoc"})
"""Values of ``@class`` that are read; documents without the key are read by what they hold."""


@READERS.register("json")
class JsonFile(Reader):
    """A document, a list of documents, documents by id, or such a list under ``data``."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """A bracket or brace first."""
        return head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in {b"{", b"["}

    def read(self, source: str) -> Iterator[Record]:
        """One record a document."""
        path = Path(source)
        text, _ = decode(read_bytes(path))
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"no JSON ({error or 'nested too deeply'}).", where=source) from error
        if isinstance(content, dict) and {"ids", "nextid"} <= set(content):
            yield from READERS.get("ase")().read(source)
            return
        for number, (name, document) in enumerate(_documents(content, plain_stem(path), source), start=1):
            yield record(document, number, path.name, name)


@READERS.register("jsonl")
class JsonLines(Reader):
    """One document a line."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def read(self, source: str) -> Iterator[Record]:
        """One record a line; a line that is no document is a record with a problem."""
        path, number = Path(source), 0
        try:
            with open_bytes(path) as file:
                for number, line in enumerate((line for line in file if line.strip()), start=1):
                    yield _line(line, number, path.name)
        except UNPACKING_ERRORS as error:
            raise DataError(f"cannot be read to its end ({error}).", where=source, fix="Fetch it again.") from error
        if number == 0:
            raise DataError("the file is empty.", where=source)


def record(document: Any, number: int, source: str, name: str | None = None) -> Record:
    """The record of one document.

    Args:
        document: A structure, or a dictionary with a structure under ``structure`` or ``atoms``.
        number: Its place in the source.
        source: Where it comes from.
        name: Its id where it does not say one itself.
    """
    if not isinstance(document, dict):
        return Record(number, source, "document", str(document), id=name, problem="not a dictionary")
    kind = document.get("@class")
    if kind is not None and kind not in CLASSES:
        return Record(number, source, "document", str(document), id=name, problem=f"documents of {kind} are not read")
    holder = next((document[key] for key in ("structure", "atoms") if isinstance(document.get(key), dict)), document)
    values = {k: v for k, v in document.items() if isinstance(v, str | int | float) and k != "charge" and k[:1] != "@"}
    if isinstance(data := document.get("data"), dict):
        values = {k: v for k, v in data.items() if isinstance(v, str | int | float)} | values
    found = next((str(values.pop(key)) for key in NAMES["id"] if key in values), name)
    formula = next((str(values.pop(key)) for key in NAMES["formula"] if key in values), None)
    split = split_name(str(values.pop("split"))) if "split" in values else split_of_file(source)
    _energies(values, holder)
    known = _holds_structure(holder)
    return Record(
        number,
        source,
        "document",
        _plain(holder) if known else str(document)[:1000],
        id=found,
        formula=formula,
        split=split,
        values=values,
        problem=None if known else "no structure in this document",
    )


def _documents(content: Any, stem: str, source: str) -> list[tuple[str, Any]]:
    """Documents with the names that their places give them."""
    if isinstance(content, dict) and not _is_document(content):
        if isinstance(content.get("data"), list):
            content = content["data"]
        else:
            return list(content.items()) or _refuse(source)
    if isinstance(content, dict):
        return [(stem, content)]
    if isinstance(content, list) and content:
        return [(f"{stem}/{number}", document) for number, document in enumerate(content, start=1)]
    return _refuse(source)


def _refuse(source: str) -> list[tuple[str, Any]]:
    raise DataError("no structures in this JSON.", where=source, fix="Expected are structures or entries of pymatgen.")


def _is_document(content: Mapping[str, Any]) -> bool:
    return (
        "@class" in content
        or _holds_structure(content)
        or any(isinstance(content.get(key), dict) and _holds_structure(content[key]) for key in ("structure", "atoms"))
    )


def _holds_structure(content: Mapping[str, Any]) -> bool:
    return {"lattice", "sites"} <= set(content) or {"lattice_mat", "coords", "elements"} <= set(content)


def _plain(holder: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a document that make a structure."""
    return {k: holder[k] for k in ("lattice", "sites", "lattice_mat", "coords", "elements", "cartesian") if k in holder}


def _energies(values: dict[str, Any], holder: Mapping[str, Any]) -> None:
    """Turn the total energy of an entry, uncorrected, into an energy per atom."""
    atoms = len(holder.get("sites", holder.get("elements", ())))
    energy = values.pop("energy", None)
    if isinstance(energy, int | float) and atoms:
        values.setdefault("energy_per_atom", energy / atoms)


def _line(line: bytes, number: int, source: str) -> Record:
    try:
        return record(json.loads(line), number, source)
    except (ValueError, RecursionError) as error:
        text = line[:200].decode("utf-8", errors="replace")
        return Record(number, source, "document", text, problem=f"no JSON ({str(error) or 'nested too deeply'})")
