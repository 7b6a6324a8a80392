"""Files of structures: CIF with one or many data blocks, POSCAR, extended XYZ with one or many frames."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from matgen.data.cif import split_blocks
from matgen.data.readers.base import READERS, Reader, decode, plain_stem, plain_suffix, read_bytes
from matgen.data.records import Record, split_of_file
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matgen.data.records import Format


class StructureFile(Reader):
    """A text file with structures; it can also be read from memory, as a member of an archive.

    A record is named by the path of its file without the ending.
    """

    def read(self, source: str) -> Iterator[Record]:
        """Records of a file."""
        path = Path(source)
        return self.records(read_bytes(path), path.name)

    def records(self, raw: bytes, name: str) -> Iterator[Record]:
        """Records in the bytes of a file whose path, as far as the user sees it, is ``name``."""
        raise NotImplementedError


@READERS.register("cif")
class CifFile(StructureFile):
    """CIF; each data block with a structure is one record, named by the file and, if there are several, the block."""

    suffixes: ClassVar[tuple[str, ...]] = (".cif",)

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """A data block and a cell near the beginning, and no header of a table before them."""
        begins_so = head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"#", b"data_", b"_", b"loop_"))
        return begins_so and b"data_" in head and b"_cell_length" in head

    def records(self, raw: bytes, name: str) -> Iterator[Record]:
        """One record a data block."""
        text, notes = _text(raw, name)
        blocks = split_blocks(text)
        stem, taken = _label(name), set[str]()
        for number, (block, part) in enumerate(blocks, start=1):
            label = stem if len(blocks) == 1 else f"{stem}/{block or number}"
            label = label if label not in taken else f"{label}#{number}"
            taken.add(label)
            yield Record(number, name, "cif", part, id=label, split=_split(name), notes=notes)


@READERS.register("poscar")
class PoscarFile(StructureFile):
    """POSCAR and CONTCAR of VASP, which must name their elements."""

    suffixes: ClassVar[tuple[str, ...]] = (".vasp", ".poscar")

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """By ending, or by a name that begins with POSCAR or CONTCAR."""
        by_name = path.name.upper().startswith(("POSCAR", "CONTCAR"))
        return plain_suffix(path) in cls.suffixes or (by_name and plain_suffix(path) not in {".cif", ".json", ".xyz"})

    def records(self, raw: bytes, name: str) -> Iterator[Record]:
        """The one record."""
        text, notes = _text(raw, name)
        path = PurePosixPath(name)
        folder_names_it = path.name.upper() in {"POSCAR", "CONTCAR"} and path.parent.name
        label = path.parent.as_posix() if folder_names_it else _label(name)
        yield Record(1, name, "poscar", text, id=label, split=_split(name), notes=notes)


@READERS.register("extxyz")
class ExtxyzFile(StructureFile):
    """Extended XYZ; each frame is one record, with the values of its comment line.

    In a file that ends in ``.xyz`` a frame without a lattice is a molecule.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".extxyz", ".xyz")

    def records(self, raw: bytes, name: str) -> Iterator[Record]:
        """One record a frame; what follows a frame that cannot be counted is one record with a problem."""
        text, notes = _text(raw, name)
        frames = list(_frames(text.rstrip().split("\n")))
        for number, (body, problem) in enumerate(frames, start=1):
            label = _label(name) if len(frames) == 1 else f"{_label(name)}/{number}"
            bare = plain_suffix(Path(name)) == ".xyz" and "lattice" not in body.split("\n", 2)[1].lower()
            kind: Format = "xyz" if problem is None and bare else "extxyz"
            yield Record(number, name, kind, body, label, split=_split(name), problem=problem, notes=notes)


def _frames(lines: list[str]) -> Iterator[tuple[str, str | None]]:
    """Text of each frame, and why it cannot be read."""
    at = 0
    while at < len(lines):
        if at and not lines[at].strip():
            at += 1
            continue
        atoms = _count(lines[at])
        frame = lines[at:] if atoms is None else lines[at : at + 2 + atoms]
        problem = None
        if atoms is None:
            problem = f"line {at + 1} should be a number of atoms: {lines[at][:40]!r}"
        elif atoms == 0:
            problem = f"the frame at line {at + 1} has no atoms"
        elif len(frame) < atoms + 2:
            problem = f"the frame at line {at + 1} has fewer than its {atoms} atoms"
        elif lines[at + len(frame) : at + len(frame) + 1] and not _ends(lines[at + len(frame)]):
            problem = f"the frame at line {at + 1} has more than its {atoms} atoms"
            following = (i for i in range(at + len(frame), len(lines)) if _ends(lines[i]))
            frame = lines[at : next(following, len(lines))]
        yield "\n".join(frame) + "\n", problem
        at += len(frame)


def _ends(line: str) -> bool:
    """Whether a line after a frame is blank or begins another."""
    return not line.strip() or _count(line) is not None


def _text(raw: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    try:
        return decode(raw)
    except DataError as error:
        raise DataError(error.what, where=name, fix=error.fix) from error


def _label(name: str) -> str:
    path = PurePosixPath(name)
    return (path.parent / plain_stem(Path(path.name))).as_posix()


def _split(name: str) -> str | None:
    """Split that the folder of a file is named after, as in ``train/NaCl.cif``, or the file itself."""
    folders = [split_of_file(part) for part in Path(name).parent.parts]
    return next((found for found in reversed(folders) if found), split_of_file(Path(name).name))


def _count(line: str) -> int | None:
    text = line.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
