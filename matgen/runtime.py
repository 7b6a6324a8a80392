"""What a run stands on: random streams, whole writes, content ids, optional packages, the device."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from matgen.errors import MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import torch


@dataclass(frozen=True)
class Streams:
    """Independent random streams, one for each sample index.

    Sample ``i`` draws from ``SeedSequence([seed, crc32(name), i])`` whichever worker, shard or batch it lies
    in, so one worker and eight give the same set.

    Args:
        seed: The user's seed.
        name: What draws, for example a model's name.
        start: Index of the first sample of this call.
    """

    seed: int
    name: str
    start: int = 0

    def at(self, index: int) -> np.random.Generator:
        """The stream of sample ``start + index``."""
        return np.random.default_rng([self.seed, crc32(self.name.encode()), self.start + index])

    def many(self, n: int) -> list[np.random.Generator]:
        """The streams of samples ``start`` to ``start + n - 1``."""
        return [self.at(i) for i in range(n)]

    def shifted(self, by: int) -> Streams:
        """The same streams, beginning ``by`` samples later."""
        return Streams(self.seed, self.name, self.start + by)


def content_id(*parts: object, length: int = 12) -> str:
    """Hexadecimal hash of JSON-serialisable parts; equal content gives equal ids on every machine."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()[:length]


def file_id(path: Path, length: int = 16) -> str:
    """Hexadecimal hash of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:length]


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is flushed and renamed, so a file is whole or absent."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file whole or not at all, with stable key order as given."""
    write_text(path, json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")


def require(package: str, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(
            f"this step needs the package {package.split('.')[0]!r}, which could not be imported ({error}).",
            fix=f"Install it with: pip install 'matgen[{extra}]'",
        ) from error


def device(name: str = "auto") -> torch.device:
    """The torch device called ``name``; ``auto`` takes a GPU where there is one."""
    import torch

    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def limit_threads(n: int = 1) -> None:
    """Give this process ``n`` torch threads; small graphs run several times slower when oversubscribed."""
    import torch

    torch.set_num_threads(n)


def workers(requested: int = 0) -> int:
    """Number of worker processes: as requested, or one for each core that this process may use."""
    return requested if requested > 0 else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def versions() -> dict[str, str]:
    """Versions of matgen, Python, the platform and the packages that results depend on."""
    names = ["matgen", "torch", "torch-geometric", "pymatgen", "ase", "chgnet", "smact", "spglib", "moyopy"]
    names += ["scikit-learn", "optuna", "numpy", "pandas", "lightning"]
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
