"""The knowledge that ships with matgen: in our own words, the papers that its rules and models rest on."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matgen.assistant.bibliography import from_fields
from matgen.assistant.corpus import Added, Corpus, default_folder, recipe_files
from matgen.assistant.document import split
from matgen.assistant.ranking import Ranker
from matgen.assistant.recipes import Recipes
from matgen.assistant.retrieval import Index, build_index, lexical_index
from matgen.runtime import content_id, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matgen.assistant.document import Document

DATA = Path(str(resources.files("matgen.assistant"))) / "data"


@lru_cache(maxsize=1)
def knowledge() -> list[Document]:
    """The shipped documents."""
    lines = (DATA / "knowledge.jsonl").read_text(encoding="utf-8").splitlines()
    return [from_fields(json.loads(line), "matgen") for line in lines]


@lru_cache(maxsize=1)
def shipped_index() -> Index:
    """The searchable form of the shipped documents, from stored sentence vectors where they fit the text."""
    from safetensors import safe_open

    with safe_open(DATA / "knowledge.safetensors", framework="numpy") as file:
        if file.metadata().get("documents") != _state():
            return build_index(knowledge())
        vectors = file.get_tensor("vectors").astype(np.float32)
    passages = [p for document in knowledge() for p in split(document)]
    parts = [(row, s) for row, p in enumerate(passages) for s in p.sentences()]
    owners = np.array([row for row, _ in parts])
    spans = np.array([(s.start, s.end) for _, s in parts])
    return Index(knowledge(), passages, owners, spans, vectors, lexical_index(passages))


def store_vectors() -> None:
    """Write the sentence vectors of the shipped documents; run after editing ``knowledge.jsonl``."""
    from safetensors.numpy import save_file

    vectors = build_index(knowledge()).vectors.astype(np.float16)
    with whole_file(DATA / "knowledge.safetensors") as temporary:
        save_file({"vectors": vectors}, temporary, metadata={"documents": _state()})


def open_index(folder: str | Path | None = None, ranking: Path | None = None) -> Index:
    """What questions are answered from: the user's corpus, or the shipped knowledge where there is none.

    Args:
        folder: The corpus; the default one if None.
        ranking: Folder of a model that orders the passages found anew, or None.
    """
    corpus = Corpus(folder or default_folder())
    index = corpus.index if corpus.documents else shipped_index()
    return index if ranking is None else replace(index, ranker=Ranker(ranking))


def open_recipes(file: Path | None = None, folder: str | Path | None = None) -> Recipes | None:
    """Reported syntheses: those of a file where one is named, or else those of the corpus; None where there are none.

    Args:
        file: JSON lines.
        folder: The corpus; the default one if None.
    """
    files = [file] if file is not None else recipe_files(folder or default_folder())
    return Recipes.read(*files) if files else None


def add_to_corpus(paths: Iterable[str | Path], folder: str | Path | None = None) -> Added:
    """Add files to a corpus; the first addition also brings the shipped knowledge in."""
    return _begun(folder).add(paths)


def add_found(documents: Sequence[Document], folder: str | Path | None = None) -> Added:
    """Add what a literature service returned; the first addition also brings the shipped knowledge in."""
    return _begun(folder).add_documents(documents)


def _begun(folder: str | Path | None) -> Corpus:
    corpus = Corpus(folder or default_folder())
    if not corpus.documents:
        corpus.add_documents(knowledge())
    return corpus


def _state() -> str:
    return content_id([d.fingerprint for d in knowledge()])
