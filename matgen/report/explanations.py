"""Explanations of the first candidates by the assistant, kept beside the run so that a page made again costs nothing.

No language model takes part: sentences are arranged from the run's records and from passages, each with its citation.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from matgen.assistant.corpus import Corpus, default_folder, recipe_files
from matgen.data.candidates import ACCEPTED
from matgen.data.structures import is_molecule
from matgen.errors import MatgenError
from matgen.runtime import content_id, file_id, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matgen.assistant.retrieval import Index
    from matgen.report.records import Records

logger = logging.getLogger(__name__)

EXPLAINED = 5
"""Candidates that are explained; one takes about half a second."""
FILE = "explanations.json"
LABELS = re.compile(r"\s*((?:\[\d+\])+)")


@dataclass(frozen=True)
class Explained:
    """An explanation as the page shows it.

    Args:
        parts: Headings with their text, which carries the labels of citations.
        sources: Lines that say what the labels stand for.
        problem: Why there is no explanation, or an empty string.
    """

    parts: list[tuple[str, str]]
    sources: list[str]
    problem: str = ""

    @property
    def sections(self) -> list[tuple[str, Markup]]:
        """Headings with their text as markup, labels raised."""
        return [(heading, _raised(text)) for heading, text in self.parts]


def explanations(records: Records, most: int = EXPLAINED, recipes: Path | None = None) -> dict[str, Explained]:
    """Explanations of the first crystals by candidate id.

    Args:
        records: The run. Its folder keeps them in ``explanations.json`` until candidates, corpus or recipes change.
        most: How many candidates; molecules among them are passed over.
        recipes: Reported syntheses to draw suggestions from, JSON lines; those of the corpus if None.
    """
    first = zip(records.table["id"].head(most), records.candidates.structures, strict=False)
    wanted = [str(name) for name, structure in first if not is_molecule(structure)]
    if not wanted:
        return {}
    try:
        index = _corpus()
    except MatgenError as error:
        return dict.fromkeys(wanted, Explained([], [], str(error)))
    syntheses = [recipes] if recipes is not None else recipe_files(default_folder())
    state = _state(records.folder, index, syntheses)
    known = _kept(records.folder / FILE, state)
    if lacking := [name for name in wanted if name not in known]:
        known |= _explained(records.folder, lacking, index, syntheses)
        # what failed is tried again by the next report: its cause may lie outside of the state
        plain = {name: asdict(told) for name, told in known.items() if not told.problem}
        write_json(records.folder / FILE, {"state": state, "candidates": plain})
    return {name: known[name] for name in wanted}


def _explained(folder: Path, names: list[str], index: Index | None, files: Sequence[Path]) -> dict[str, Explained]:
    """Explanations, or why there is none: a report must not fail for want of one."""
    from matgen.assistant.explanation import explain, sources
    from matgen.assistant.recipes import Recipes

    recipes = Recipes.read(*files) if files else None
    found = {}
    for name in names:
        try:
            told = explain(folder, name, index=index, recipes=recipes)
        except MatgenError as error:
            found[name] = Explained([], [], str(error))
        except Exception as error:  # potentials, featurisers and readers of foreign packages raise anything
            logger.exception("candidate %s of %s was not explained", name, folder)
            found[name] = Explained([], [], f"{type(error).__name__}: {error} (the log holds the traceback).")
        else:
            found[name] = Explained([(s.heading, s.text) for s in told.sections], sources(told))
    return found


def _corpus() -> Index | None:
    """The user's corpus; without one only records and the shipped knowledge are cited."""
    corpus = Corpus(default_folder())
    return corpus.index if corpus.documents else None


def _state(folder: Path, index: Index | None, recipes: Sequence[Path]) -> str:
    """What the explanations depend on."""
    documents = [d.fingerprint for d in index.documents] if index is not None else []
    return content_id(metadata.version("matgen"), file_id(folder / ACCEPTED), documents, [*map(file_id, recipes)])


def _kept(path: Path, state: str) -> dict[str, Explained]:
    """What an earlier report kept, unless something has changed or the file is damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["state"] != state:
            return {}
        return {k: Explained([(h, t) for h, t in v.pop("parts")], **v) for k, v in kept["candidates"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _raised(text: str) -> Markup:
    return Markup(LABELS.sub(r'<sup class="label">\1</sup>', str(escape(text))))  # noqa: S704  escaped before
