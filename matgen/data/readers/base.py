"""The contract of a reader, and which reader a source goes to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

from matgen.errors import DataError
from matgen.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matgen.data.records import Record

READERS: Registry[type[Reader]] = Registry("reader", "matgen.data.readers")

PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
"""First bytes of compressed files."""

PACKED_SUFFIXES = frozenset({".gz", ".bz2", ".xz"})

UNPACKING_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What a broken compressed file raises."""


class Reader:
    """Turns a source into records; it judges nothing and drops nothing.

    A reader of one family of files lists the endings of their names; one of a web interface the scheme with
    which its sources begin.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    scheme: ClassVar[str | None] = None

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Whether a file is of this family, by its name."""
        return plain_suffix(path) in cls.suffixes

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """Whether a file of unknown name is of this family, by its first unpacked bytes."""
        return False

    def read(self, source: str) -> Iterator[Record]:
        """Records of a source.

        Raises:
            DataError: The source as a whole cannot be read.
        """
        raise NotImplementedError


def find_reader(source: str, name: str = "auto") -> Reader:
    """The reader called ``name``, or the one for this source.

    Raises:
        DataError: The source does not exist or nothing reads it.
    """
    if name != "auto":
        return READERS.get(name)()
    for _, reader in READERS:
        if reader.scheme and source.startswith(f"{reader.scheme}:"):
            return reader()
    path = Path(source)
    if not path.exists():
        raise DataError("no such file or folder.", where=source, fix="Check the path.")
    kinds = [reader for _, reader in READERS]
    fitting = [r for r in kinds if r.accepts(path)] or [r for r in kinds if path.is_file() and r.recognises(head(path))]
    if not fitting:
        raise DataError(
            "unknown kind of file.",
            where=source,
            fix=f"Name its reader with --reader: {', '.join(READERS.names())}.",
        )
    return fitting[0]()


def plain_suffix(path: Path) -> str:
    """Lower-case ending of a name without that of the compression: ``.csv`` for ``a.csv.gz``."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def plain_stem(path: Path) -> str:
    """Name without its ending and that of the compression: ``a`` for ``a.csv.gz``."""
    return Path(path.stem).stem if path.suffix.lower() in PACKED_SUFFIXES else path.stem


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked if its first bytes say that it is compressed."""
    with path.open("rb") as file:
        start = file.read(6)
    for magic, opener in PACKED.items():
        if start.startswith(magic):
            return cast("IO[bytes]", opener(path, "rb"))
    return path.open("rb")


def read_bytes(path: Path) -> bytes:
    """All bytes of a file, unpacked; a file that cannot be unpacked to its end is a DataError."""
    try:
        with open_bytes(path) as file:
            return file.read()
    except UNPACKING_ERRORS as error:
        raise DataError(
            f"cannot be read to its end ({error}).", where=str(path), fix="Fetch the file again."
        ) from error


def head(path: Path, size: int = 4096) -> bytes:
    """First unpacked bytes of a file; empty where it cannot be unpacked."""
    try:
        with open_bytes(path) as file:
            return file.read(size)
    except UNPACKING_ERRORS:
        return b""


def decode(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """Text of bytes in UTF-8, UTF-16 (with mark) or, if it must be, Windows-1252, and what was done.

    Line ends become those of Unix.

    Raises:
        DataError: The bytes are no text.
    """
    notes: tuple[str, ...] = ()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", errors="replace")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text, notes = raw.decode("cp1252", errors="replace"), ("text is not UTF-8, read as Windows-1252",)
    if "\x00" in text or text.count("\ufffd") > len(text) // 20:
        raise DataError("binary content where text was expected.")
    return io.StringIO(text, newline=None).read(), notes
