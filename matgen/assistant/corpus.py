"""The corpus on disk: documents, passages, sentence vectors and the lexical index.

A corpus is a folder with one sub-folder for each state and a file ``CURRENT`` that names the valid one, so a
killed ``add`` leaves the old state. Files of recipes are kept as they are, beside the states, under a name made from
their content. No pickle: Parquet, npy and JSON only.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.document import Document, Passage, split
from matgen.assistant.readers import KINDS, read_documents
from matgen.assistant.recipes import Recipes, holds_recipes
from matgen.assistant.retrieval import Index, lexical_index, sentence_vectors
from matgen.assistant.terms import stems
from matgen.errors import DataError
from matgen.runtime import content_id, file_id, require, whole_file, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COLUMNS = tuple(f.name for f in fields(Document))


RECIPES = "recipes"


def default_folder() -> Path:
    """Where the corpus lies when the user names no folder: ``$MATGEN_HOME/corpus`` or ``.matgen/corpus``."""
    return Path(os.environ.get("MATGEN_HOME", ".matgen")) / "corpus"


def recipe_files(folder: str | Path) -> list[Path]:
    """Files of reported syntheses in a corpus, in a fixed order."""
    return sorted(p for p in (Path(folder) / RECIPES).glob("*.jsonl*") if not p.name.startswith("."))


@dataclass
class Added:
    """What an ``add`` did: counts, and for each refused file its reason."""

    files: int = 0
    unchanged: int = 0
    documents: int = 0
    duplicates: int = 0
    passages: int = 0
    recipes: int = 0
    refused: dict[str, str] = field(default_factory=dict)


class Corpus:
    """Documents on disk with their index.

    Args:
        folder: The corpus folder; made on the first ``add``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.files: dict[str, dict[str, Any]] = {}
        self.index = Index([], [], np.zeros(0, int), np.zeros((0, 2), int), np.zeros((0, 384), np.float32), None)
        if (self.folder / "CURRENT").exists():
            self._load()

    @property
    def documents(self) -> list[Document]:
        """All documents, in order of addition."""
        return self.index.documents

    def add(self, paths: Iterable[str | Path]) -> Added:
        """Read files (folders are searched) that are new or have changed; broken files are reported, not fatal."""
        report, fresh = Added(), []
        for path in _expand(paths):
            report.files += 1
            name = str(path.resolve())
            try:
                digest = file_id(path) if path.is_file() else ""
                if self.files.get(name, {}).get("digest") == digest:
                    report.unchanged += 1
                    continue
                if path.is_file() and holds_recipes(path):
                    self._keep_recipes(path, name, digest, report)
                    continue
                documents = read_documents(path)
            except (DataError, OSError) as error:
                report.refused[str(path)] = str(error)
                continue
            self._forget(name)
            self.files[name] = {"digest": digest, "documents": len(documents)}
            fresh += [Document(**{**asdict(d), "source": name}) for d in documents]
        self._enter(fresh, report)
        return report

    def add_documents(self, documents: Sequence[Document]) -> Added:
        """Add documents that are already in memory, for example from a search service."""
        report = Added()
        self._enter(documents, report)
        return report

    def remove(self, name: str) -> int:
        """Remove a document by id, or all documents or recipes of a file; returns how many left."""
        path = str(Path(name).resolve())
        if recipes := self.files.get(path, {}).get("recipes"):
            self._forget(path)
            del self.files[path]
            self._save()
            return int(recipes)
        gone = {d.id for d in self.documents if d.id == name or d.source == path}
        if not gone:
            raise DataError("no such document or file in the corpus.", where=name, fix="See 'matgen corpus list'.")
        self.files.pop(path, None)
        self._keep(gone)
        self._save()
        return len(gone)

    def _keep_recipes(self, path: Path, name: str, digest: str, report: Added) -> None:
        """A copy of a file of recipes, once it has been read without an error."""
        found = len(Recipes.read(path).recipes)
        self._forget(name)
        kept = self.folder / RECIPES / f"{digest}.jsonl{'.gz' if path.suffix == '.gz' else ''}"
        with whole_file(kept) as temporary:
            shutil.copyfile(path, temporary)
        self.files[name] = {"digest": digest, "documents": 0, "recipes": found}
        report.recipes += found

    def _enter(self, fresh: Sequence[Document], report: Added) -> None:
        unique = _without_duplicates(fresh, self.documents)
        report.duplicates = len(fresh) - len(unique)
        report.documents = len(unique)
        if unique:
            passages = [p for document in unique for p in split(document)]
            owners, spans, vectors = sentence_vectors(passages)
            old = self.index
            self.index = Index(
                old.documents + unique,
                old.passages + passages,
                np.concatenate([old.owners, owners + len(old.passages)]),
                np.concatenate([old.spans, spans]),
                np.concatenate([old.vectors, vectors.astype(np.float32)]),
                None,
            )
            report.passages = len(passages)
        if unique or report.files > report.unchanged:
            self._save()

    def _forget(self, source: str) -> None:
        """Drop what came from a file: its documents, or the copy of its recipes unless another file has the same."""
        entry = self.files.get(source)
        if entry is None:
            return
        if not entry.get("recipes"):
            self._keep({d.id for d in self.documents if d.source == source})
        elif not any(e["digest"] == entry["digest"] for name, e in self.files.items() if name != source):
            for copy in recipe_files(self.folder):
                if copy.name.partition(".")[0] == entry["digest"]:
                    copy.unlink()

    def _keep(self, gone: set[str]) -> None:
        """Drop documents by id from the index in memory."""
        old = self.index
        kept = np.array([p.document.id not in gone for p in old.passages], dtype=bool)
        rows = kept[old.owners] if len(old.owners) else np.zeros(0, bool)
        renumber = np.cumsum(kept) - 1
        self.index = Index(
            [d for d in old.documents if d.id not in gone],
            [p for p, keep in zip(old.passages, kept, strict=True) if keep],
            renumber[old.owners[rows]] if len(rows) else old.owners,
            old.spans[rows],
            old.vectors[rows],
            None,
        )

    def _save(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        index = self.index
        index.bm25 = lexical_index(index.passages)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        rows = {id(d): i for i, d in enumerate(index.documents)}
        pq.write_table(pa.Table.from_pylist([asdict(d) for d in index.documents]), temporary / "documents.parquet")
        passages = {
            "document": [rows[id(p.document)] for p in index.passages],
            "start": [p.start for p in index.passages],
            "end": [p.end for p in index.passages],
        }
        pq.write_table(pa.table(passages), temporary / "passages.parquet")
        np.save(temporary / "sentences.npy", np.column_stack([index.owners, index.spans]).astype(np.int64))
        np.save(temporary / "vectors.npy", index.vectors.astype(np.float16))
        if index.bm25 is not None:
            index.bm25.save(str(temporary / "bm25"), show_progress=False)
        (temporary / "files.json").write_text(json.dumps(self.files, indent=1), encoding="utf-8")
        self._switch(temporary)

    def _switch(self, temporary: Path) -> None:
        name = content_id(sorted(d.fingerprint for d in self.documents), temporary.name)
        temporary.rename(self.folder / name)
        write_text(self.folder / "CURRENT", name + "\n")
        for other in self.folder.iterdir():
            if other.is_dir() and other.name not in {name, RECIPES}:
                shutil.rmtree(other, ignore_errors=True)

    def _load(self) -> None:
        import pyarrow.parquet as pq

        state = self.folder / (self.folder / "CURRENT").read_text(encoding="utf-8").strip()
        try:
            rows = pq.read_table(state / "documents.parquet").to_pylist()
            documents = [Document(**{name: row[name] for name in COLUMNS}) for row in rows]
            table = pq.read_table(state / "passages.parquet").to_pydict()
            triples = zip(table["document"], table["start"], table["end"], strict=True)
            passages = [Passage(documents[d], a, b) for d, a, b in triples]
            sentences = np.load(state / "sentences.npy", allow_pickle=False)
            vectors = np.load(state / "vectors.npy", allow_pickle=False).astype(np.float32)
            self.files = json.loads((state / "files.json").read_text(encoding="utf-8"))
            lexical = state / "bm25"  # there is none where no passage has a term
            bm25 = require("bm25s", "assistant").BM25.load(str(lexical)) if lexical.is_dir() else None
        except (OSError, ValueError, KeyError, IndexError) as error:
            fix = "Delete the folder and add the files again."
            raise DataError(f"the corpus is damaged ({error}).", where=str(self.folder), fix=fix) from error
        self.index = Index(documents, passages, sentences[:, 0], sentences[:, 1:], vectors, bm25)


def _expand(paths: Iterable[str | Path]) -> list[Path]:
    """Files of readable kinds under the given paths; a file named directly is kept whatever its kind."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            names = (p for p in path.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.parts))
            found += sorted(p for p in names if {s.lower() for s in p.suffixes} & set(KINDS))
        else:
            found.append(path)
    return found


def _without_duplicates(fresh: Sequence[Document], known: Sequence[Document]) -> list[Document]:
    """Documents that are not yet there by id, DOI, words, or title with mostly the same words."""
    ids = {d.id for d in known}
    dois = {d.doi.lower() for d in known if d.doi}
    prints = {d.fingerprint for d in known}
    titles = {_title(d): d for d in known}
    unique: list[Document] = []
    for document in fresh:
        title = _title(document)
        same = document.id in ids or document.doi.lower() in dois or document.fingerprint in prints
        if same or (title in titles and _alike(document, titles[title])):
            continue
        unique.append(document)
        ids.add(document.id)
        prints.add(document.fingerprint)
        titles.setdefault(title, document)
        if document.doi:
            dois.add(document.doi.lower())
    return unique


def _title(document: Document) -> str:
    return "".join(c for c in document.title.lower() if c.isalnum())


def _alike(a: Document, b: Document, share: float = 0.8) -> bool:
    words, others = set(stems(a.text)), set(stems(b.text))
    return len(words & others) >= share * max(1, min(len(words), len(others)))
