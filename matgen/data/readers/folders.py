"""Folders and zip archives of files that other readers read."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from matgen.data.dataset import CARD, STRUCTURES
from matgen.data.readers.base import READERS, Reader, decode, read_bytes
from matgen.data.readers.structure_files import StructureFile
from matgen.data.records import Record
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_MEMBER = 64 * 1024 * 1024
"""Bytes of one unpacked member of an archive."""


TARGETS = "id_prop.csv"
"""A table without header, id and value, that tools such as CGCNN and ALIGNN expect beside the structure files."""


@READERS.register("folder")
class Folder(Reader):
    """All files below a folder that some reader knows by their names; hidden ones and others are left alone.

    Values in ``id_prop.csv`` go to the structures whose ids it names.
    """

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Folders."""
        return path.is_dir()

    def read(self, source: str) -> Iterator[Record]:
        """Records of all files, in order of their paths; a file that cannot be read is a record with a problem."""
        root = Path(source)
        files = [file for file in sorted(root.rglob("*")) if file.is_file() and not _is_hidden(file.relative_to(root))]
        known = [(f, reader) for f in files if f.name != TARGETS and (reader := _reader_of(f)) is not None]
        if not known:
            raise DataError(
                "the folder holds no file that matgen reads.",
                where=source,
                fix=f"Known endings: {', '.join(_endings())}; also POSCAR and CONTCAR.",
            )
        targets = _targets(root / TARGETS)
        for file, reader in known:
            for record in _safely(reader, file, file.relative_to(root).as_posix()):
                values = targets.get(record.id or "", {}) or targets.get(PurePosixPath(record.id or "").name, {})
                yield replace(record, values={**record.values, **values})


@READERS.register("dataset")
class DatasetFolder(Reader):
    """A data set that matgen made: its kept rows, judged again."""

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Folders with a data card and its table."""
        return (path / CARD).is_file() and (path / STRUCTURES).is_file()

    def read(self, source: str) -> Iterator[Record]:
        """One record a row."""
        return READERS.get("parquet")().read(str(Path(source) / STRUCTURES))


@READERS.register("zip")
class ZipArchive(Reader):
    """Zip archives of CIF, POSCAR and extended XYZ files, read in memory."""

    suffixes: ClassVar[tuple[str, ...]] = (".zip",)

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """The mark of zip."""
        return head.startswith(b"PK\x03\x04")

    def read(self, source: str) -> Iterator[Record]:
        """Records of all members that are structure files."""
        try:
            with zipfile.ZipFile(source) as archive:
                members = [m for m in archive.infolist() if not m.is_dir() and _structure_reader(m.filename)]
                if not members:
                    raise DataError("the archive holds no CIF, POSCAR or extended XYZ file.", where=source)
                for member in sorted(members, key=lambda m: m.filename):
                    yield from _member(archive, member)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"unreadable archive ({error}).", where=source, fix="Fetch it again.") from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[Record]:
    name, reader = member.filename, _structure_reader(member.filename)
    if reader is None:
        return
    if member.file_size > LARGEST_MEMBER:
        yield Record(1, name, "cif", id=name, problem=f"{member.file_size:,} bytes are too many for one member")
        return
    try:
        yield from reader.records(archive.read(member), name)
    except (DataError, zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        what = error.what if isinstance(error, DataError) else f"cannot be unpacked ({error})"
        yield Record(1, name, "cif", id=name, problem=what)


def _safely(reader: Reader, file: Path, name: str) -> Iterator[Record]:
    try:
        if isinstance(reader, StructureFile):
            yield from reader.records(read_bytes(file), name)
        else:
            yield from (replace(record, source=name) for record in reader.read(str(file)))
    except DataError as error:
        yield Record(1, name, "cif", id=name, problem=error.what)


def _targets(path: Path) -> dict[str, dict[str, str]]:
    """Values by id; those of several columns are numbered."""
    if not path.is_file():
        return {}
    text, _ = decode(read_bytes(path))
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if row]
    return {
        row[0].removesuffix(".cif").removesuffix(".vasp"): {
            "target" if i == 0 else f"target_{i + 1}": value for i, value in enumerate(row[1:])
        }
        for row in rows
    }


def _reader_of(path: Path) -> Reader | None:
    return next((reader() for _, reader in READERS if reader.accepts(path)), None)


def _structure_reader(name: str) -> StructureFile | None:
    reader = _reader_of(Path(name)) if not _is_hidden(PurePosixPath(name)) else None
    return reader if isinstance(reader, StructureFile) else None


def _is_hidden(path: Path | PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)


def _endings() -> list[str]:
    return sorted({suffix for _, reader in READERS for suffix in reader.suffixes})
