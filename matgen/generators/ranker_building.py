"""Train the ranker that comes with matgen.

    python -m matgen.generators.ranker_building DATASET... --exclude DATASET [--max-atoms 20]

Each argument is an ingested data set or a structure file; structures that occur in several by ``id`` count once, and
no id of ``--exclude`` is learned from.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matgen.data.structures import read_structures
from matgen.errors import DataError
from matgen.generators.base import CARD, WEIGHTS
from matgen.generators.ranker import SHIPPED_RANKER
from matgen.generators.ranker_training import train_ranker
from matgen.generators.templates import TemplateLibrary
from matgen.runtime import file_id, limit_threads, versions, whole_file, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from pymatgen.core import Structure

FACTS = {
    "title": "Which known structure type a composition takes",
    "data_licence": "CC BY 4.0 (Materials Project)",
    "intended_use": "Ranking the answers of the retrieval generator; libraries of inorganic crystals.",
    "limits": "Knows chemistry through element scales only, no energies: polymorphs are told apart by frequency.",
}


def build_ranker(
    sources: Sequence[str | Path], exclude: str | Path | None = None, max_atoms: int = 20, out: Path = SHIPPED_RANKER
) -> dict[str, Any]:
    """Train on all structures of the sources, write weights and card, and return the card.

    Raises:
        DataError: No structure is left to learn from.
    """
    from safetensors.torch import save_file

    start = time.process_time()
    library = gathered(sources, exclude, max_atoms)
    losses: list[float] = []
    ranker = train_ranker(library, log=lambda _, loss: losses.append(round(loss, 4)))
    with whole_file(out / WEIGHTS) as temporary:
        save_file(ranker.state_dict(), temporary)
    card = {
        "ranker": "placement",
        "features": list(ranker.names),
        **FACTS,
        "data": {
            "sources": [Path(source).name for source in sources],
            "rows": len(library),
            "max_atoms": max_atoms,
            "excluded": f"every id of {Path(exclude).name}" if exclude is not None else None,
        },
        "losses": losses,
        "cpu_seconds": round(time.process_time() - start),
        "date": date.today().isoformat(),
        "versions": versions(),
        "fingerprint": file_id(out / WEIGHTS),
    }
    write_json(out / CARD, card)
    return card


def gathered(sources: Sequence[str | Path], exclude: str | Path | None = None, max_atoms: int = 20) -> TemplateLibrary:
    """One library of the structures of several data sets, each id once, without the ids of another."""
    forbidden = set(_read(exclude)[0]["id"].astype(str)) if exclude is not None else set()
    found: dict[str, tuple[Structure, float]] = {}
    for source in sources:
        table, structures = _read(source)
        hull = table["e_above_hull"] if "e_above_hull" in table else [float("nan")] * len(table)
        for name, structure, energy in zip(table["id"].astype(str), structures, hull, strict=True):
            if name not in forbidden and len(structure) <= max_atoms:
                found.setdefault(name, (structure, float(energy)))
    if not found:
        raise DataError(f"no structure of at most {max_atoms} atoms is left.", where=str([str(s) for s in sources]))
    kept, energies = zip(*found.values(), strict=True)
    return TemplateLibrary.from_structures(kept, energies, list(found))


def _read(source: str | Path) -> tuple[pd.DataFrame, list[Structure]]:
    folded = Path(source) / "structures.parquet"
    return read_structures(folded if folded.exists() else source)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--exclude", type=Path)
    parser.add_argument("--max-atoms", type=int, default=20)
    given = parser.parse_args()
    limit_threads(1)
    build_ranker(given.sources, given.exclude, given.max_atoms)
