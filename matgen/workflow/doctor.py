"""What is installed, on which device it runs, which weights are whole, and how to get what is missing."""

from __future__ import annotations

import json
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from matgen.generators.base import CARD, SHIPPED, WEIGHTS
from matgen.runtime import device, file_id, versions, workers
from matgen.stability.references import ENTRIES
from matgen.stability.references import SHIPPED as REFERENCES


def examine() -> dict[str, Any]:
    """The state of this installation, as plain values; ``problems`` says what to do about each fault."""
    import torch

    requirements = [Requirement(text) for text in metadata.requires("matgen") or ()]
    core = [r for r in requirements if not (r.marker and "extra" in str(r.marker))]
    extras = {name: _missing(_of_extra(requirements, name)) for name in _extras()}
    missing, damaged = _missing(core), _damaged()
    problems = [f"{name} is missing; install it with: pip install '{name}'" for name in missing]
    problems += [f"the shipped files of {name} are damaged; install matgen again" for name in damaged]
    return {
        "versions": versions(),
        "device": str(device()),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cores": workers(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory(),
        "free_disk_gib": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
        "models": sorted(path.parent.name for path in SHIPPED.glob(f"*/{CARD}")),
        "references": sorted(path.parent.name for path in REFERENCES.glob(f"*/{CARD}")),
        "extras": {n: {"missing": m, "install": f"pip install 'matgen[{n}]'"} for n, m in extras.items()},
        "problems": problems,
    }


def _extras() -> list[str]:
    return sorted(metadata.metadata("matgen").get_all("Provides-Extra") or ())


def _of_extra(requirements: list[Requirement], extra: str) -> list[Requirement]:
    """What an extra needs on this Python and platform."""
    return [r for r in requirements if r.marker and r.marker.evaluate({"extra": extra}) and not _always(r)]


def _always(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _missing(requirements: list[Requirement]) -> list[str]:
    """Requirements that are not installed, or in a version that does not fit."""
    return sorted(f"{r.name}{r.specifier}" for r in requirements if not _installed(r))


def _installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _damaged() -> list[str]:
    """Shipped models and reference tables whose card does not belong to their data."""
    pairs = [(card, card.with_name(WEIGHTS)) for card in SHIPPED.glob(f"*/{CARD}")]
    pairs += [(card, card.with_name(ENTRIES)) for card in REFERENCES.glob(f"*/{CARD}")]
    return sorted(card.parent.name for card, data in pairs if not _whole(card, data))


def _whole(card: Path, data: Path) -> bool:
    return data.is_file() and json.loads(card.read_text("utf-8")).get("fingerprint") == file_id(data)


def _memory() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
