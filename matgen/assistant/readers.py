"""Files to documents. A file that cannot be read is one clear DataError and never stops the others."""

from __future__ import annotations

import gzip
import html
import json
import re
from html.parser import HTMLParser
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from matgen.assistant.bibliography import from_bibtex, from_fields, from_ris
from matgen.errors import DataError
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from matgen.assistant.document import Document

KINDS = (".jsonl", ".json", ".txt", ".md", ".html", ".htm", ".bib", ".ris", ".pdf")
LARGEST = 512 * 2**20
PDF_SECONDS, PDF_MEMORY = 120, 2 * 2**30


def read_documents(path: Path) -> list[Document]:
    """Documents of one file; ``.gz`` may follow any text kind.

    Raises:
        DataError: The file is missing, of an unknown kind, too large, broken or without text.
    """
    suffixes = [s.lower() for s in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if kind not in KINDS:
        raise DataError(f"cannot read {kind!r}.", where=str(path), fix=f"Readable kinds: {', '.join(KINDS)}.")
    if not path.is_file():
        raise DataError("no such file.", where=str(path), fix="Check the path.")
    try:
        documents = _read(path, kind)
    except DataError:
        raise
    except Exception as error:  # parsers of foreign files raise dozens of unrelated types
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"unreadable {kind}: {reason}", where=str(path)) from error
    documents = [d for d in documents if d.text.strip()]
    if not documents:
        raise DataError("no text found.", where=str(path), fix="A scanned PDF needs text recognition first.")
    return documents


def _read(path: Path, kind: str) -> list[Document]:
    if kind == ".pdf":
        return _pdf(path)
    if kind in {".jsonl", ".json"}:
        return _json(path)
    text = _text(path)
    if kind in {".bib", ".ris"}:
        return (from_bibtex if kind == ".bib" else from_ris)(text, str(path))
    if kind in {".html", ".htm"}:
        return [_html(text, path)]
    return [_plain(text, path)]


def _text(path: Path) -> str:
    data = _bytes(path)
    if data.count(0) > len(data) // 20:
        raise DataError("this is no text file.", where=str(path))
    return data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")


def _bytes(path: Path) -> bytes:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise DataError(f"larger than {LARGEST >> 20} MiB.", where=str(path), fix="Split it.")
    return data


def _json(path: Path) -> list[Document]:
    """JSON lines (or one list) of objects with ``title`` and ``abstract`` or ``text``; broken lines are errors."""
    text = _text(path)
    rows = (
        json.loads(text) if text.lstrip().startswith("[") else [json.loads(s) for s in text.splitlines() if s.strip()]
    )
    if not all(isinstance(row, dict) and ("title" in row or "text" in row or "abstract" in row) for row in rows):
        raise DataError("some objects have neither title, abstract nor text.", where=str(path))
    return [from_fields(row, str(path)) for row in rows]


def _plain(text: str, path: Path) -> Document:
    heading = next((s.lstrip("# ").strip() for s in text.splitlines() if s.strip()), path.stem)
    return from_fields({"title": heading[:200], "text": text}, str(path))


class _Page(HTMLParser):
    """Collects visible text; scripts, styles and hidden elements stay out."""

    SILENT = frozenset({"script", "style", "template", "noscript", "head", "nav", "footer"})
    BLOCKS = frozenset({"p", "div", "li", "h1", "h2", "h3", "h4", "br", "tr", "section", "article", "blockquote"})
    VOID = frozenset({"br", "img", "meta", "link", "hr", "input", "wbr", "col", "area", "base", "source"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.metadata: dict[str, str] = {}
        self._open: list[tuple[str, bool]] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "meta":
            self.metadata[given.get("name", "").lower()] = given.get("content", "")
        self._in_title = self._in_title or tag == "title"
        if tag in self.BLOCKS:
            self.parts.append("\n")
        if tag not in self.VOID:
            style = given.get("style", "").replace(" ", "").lower()
            hidden = (
                "hidden" in given or "display:none" in style or "visibility:hidden" in style or "font-size:0" in style
            )
            self._open.append((tag, tag in self.SILENT or hidden))

    def handle_endtag(self, tag: str) -> None:
        self._in_title = self._in_title and tag != "title"
        if any(name == tag for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.metadata["title"] = self.metadata.get("title", "") + data
        elif not any(silent for _, silent in self._open):
            self.parts.append(data)


def _html(text: str, path: Path) -> Document:
    page = _Page()
    page.feed(text)
    body = re.sub(r"\n\s*\n+", "\n\n", re.sub(r"[ \t]+", " ", "".join(page.parts))).strip()
    named = page.metadata
    fields = {
        "title": html.unescape(named.get("citation_title") or named.get("title") or path.stem),
        "authors": named.get("citation_author", named.get("author", "")),
        "doi": named.get("citation_doi", ""),
        "date": named.get("citation_publication_date", named.get("citation_date", "")),
        "text": body,
    }
    return from_fields(fields, str(path))


def _pdf(path: Path) -> list[Document]:
    """Text of a PDF, read in a child process with time and memory limits, because such files may be hostile."""
    require("pypdf", "assistant")
    if path.stat().st_size > LARGEST:
        raise DataError(f"larger than {LARGEST >> 20} MiB.", where=str(path))
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_limited, args=(there, _pdf_fields, str(path)), daemon=True)
    child.start()
    there.close()
    try:
        result = here.recv() if here.poll(PDF_SECONDS) else {"error": f"no end after {PDF_SECONDS} s"}
    except EOFError:
        result = {"error": "the reading process died, probably at its memory limit"}
    finally:
        child.terminate()
        child.join()
    if "error" in result:
        raise DataError(f"unreadable .pdf: {result['error']}", where=str(path))
    return [from_fields(result, str(path))]


def _limited(connection: Connection, function: Callable[[str], dict[str, str]], path: str) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (PDF_MEMORY, PDF_MEMORY))
    try:
        connection.send(function(path))
    except Exception as error:  # whatever the file provoked becomes the reason
        connection.send({"error": " ".join(str(error).split())[:160] or type(error).__name__})


def _pdf_fields(path: str) -> dict[str, str]:
    import pypdf

    reader = pypdf.PdfReader(path)
    pages = [page.extract_text() or "" for page in reader.pages]
    text = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", "\n\n".join(pages))
    text = re.sub(r"(?<=[^\n.])\n(?=[^\n])", " ", text)
    found = re.search(r"\b10\.\d{4,9}/[^\s\"<>]+[^\s\"<>.,;)]", text[:6000])
    information: dict[str, object] = dict(reader.metadata or {})
    first = next((s.strip() for s in text.splitlines() if len(s.strip()) > 10), Path(path).stem)
    return {
        "title": str(information.get("/Title") or first)[:200],
        "authors": str(information.get("/Author") or ""),
        "date": str(information.get("/CreationDate") or ""),
        "doi": found[0] if found else "",
        "text": text,
    }
