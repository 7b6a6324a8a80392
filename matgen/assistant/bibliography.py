"""Bibliographies: BibTeX and RIS entries that carry an abstract become documents."""

from __future__ import annotations

import re
from typing import Any

from matgen.assistant.document import Document
from matgen.runtime import content_id, require


def from_bibtex(text: str, source: str) -> list[Document]:
    """Documents of the entries in a BibTeX file."""
    package = require("bibtexparser", "assistant")
    parser = package.bparser.BibTexParser(common_strings=True, ignore_nonstandard_types=False)
    entries = package.loads(text, parser=parser).entries
    return [from_fields(entry | {"authors": entry.get("author", "")}, source) for entry in entries]


def from_ris(text: str, source: str) -> list[Document]:
    """Documents of the references in a RIS file."""
    entries = require("rispy", "assistant").loads(text.lstrip("\ufeff"))
    return [
        from_fields(entry | {"title": entry.get("title") or entry.get("primary_title", "")}, source)
        for entry in entries
    ]


def from_fields(fields: dict[str, Any], source: str) -> Document:
    """A document from loosely named metadata; without text or abstract, its title is its text."""
    title = _plain(fields.get("title", ""))
    text = str(fields.get("abstract") or fields.get("text") or fields.get("notes_abstract") or title)
    doi = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", "", str(fields.get("doi") or ""), flags=re.IGNORECASE)
    arxiv = str(fields.get("eprint") or "")
    named = fields.get("id") if ":" in str(fields.get("id", "")) else None
    name = named or (f"arXiv:{arxiv}" if arxiv else f"DOI:{doi}" if doi else content_id(title, text))
    return Document(
        id=str(name),
        title=title,
        text=text,
        authors=_authors(fields.get("authors", "")),
        year=_year(fields),
        doi=doi,
        kind=str(fields.get("kind") or "literature"),
        source=source,
    )


def _authors(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(a.get("name", "") if isinstance(a, dict) else a) for a in value)
    return _plain(value).replace(" and ", ", ").replace("; ", ", ")


def _year(fields: dict[str, Any]) -> int:
    for name in ("year", "date", "publication_year", "listed"):
        if match := re.search(r"\b(1[6-9]|20)\d\d\b", str(fields.get(name) or "")):
            return int(match[0])
    match = re.match(r"arXiv:(\d\d)\d\d\.\d{4,5}|arXiv:[a-z-]+/(\d\d)", str(fields.get("id") or ""))
    if match is None:
        return 0
    short = int(match[1] or match[2])
    return 1900 + short if short > 90 else 2000 + short


def _plain(value: Any) -> str:
    return " ".join(re.sub(r"[{}]", "", str(value)).split())
