"""Clients of arXiv, Crossref and OpenAlex: a query in, documents with metadata and abstracts out.

They contact their service only when called, write each request to the audit log first, and wait when told to.
"""

from __future__ import annotations

import re
import time
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from matgen.assistant.backends import audit, is_local
from matgen.assistant.bibliography import from_fields
from matgen.errors import ConfigError, MatgenError, did_you_mean
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from matgen.assistant.document import Document

ADDRESSES = {
    "arxiv": "https://export.arxiv.org/api/query",
    "crossref": "https://api.crossref.org/works",
    "openalex": "https://api.openalex.org/works",
}
TRIES, PATIENCE, LARGEST = 3, 30.0, 32 * 2**20
_ATOM = {"a": "http://www.w3.org/2005/Atom", "x": "http://arxiv.org/schemas/atom"}


def fetch(
    service: str,
    query: str,
    *,
    n: int = 25,
    address: str | None = None,
    mail: str = "",
    audit_log: Path = Path(".matgen/audit.jsonl"),
) -> list[Document]:
    """Search a service for papers.

    Args:
        service: ``arxiv``, ``crossref`` or ``openalex``.
        query: Words to search for.
        n: How many results at most, up to 200.
        address: Another address of the same interface, for example a mirror.
        mail: Contact that Crossref and OpenAlex ask polite users for.
        audit_log: Where the request is written down.

    Raises:
        ConfigError: No such service, or a bad number.
        MatgenError: The service does not answer, or not in its format.
    """
    if service not in ADDRESSES:
        raise ConfigError(f"there is no service called {service!r}.", fix=did_you_mean(service, ADDRESSES))
    if not 1 <= n <= 200:
        raise ConfigError(f"{n} results asked for.", where="n", fix="Ask for 1 to 200.")
    url = address or ADDRESSES[service]
    parameters, parse = _INTERFACES[service]
    asked = parameters(query, n) | ({"mailto": mail} if mail and service != "arxiv" else {})
    if not is_local(url):
        audit(audit_log, url, asked)
    reply = _get(url, asked)
    try:
        return [d for d in parse(reply, url) if d.title]
    except MatgenError:
        raise
    except Exception as error:  # a service may answer with anything
        raise MatgenError(
            f"the reply is not in the format of {service} ({type(error).__name__}).", where=url
        ) from error


def _get(url: str, parameters: dict[str, str]) -> httpx.Response:
    for attempt in range(1, TRIES + 1):
        try:
            reply = httpx.get(url, params=parameters, timeout=PATIENCE, follow_redirects=False)
        except httpx.HTTPError as error:
            raise MatgenError(f"no answer ({type(error).__name__}).", where=url, fix="Check the network.") from error
        if reply.status_code in {429, 503} and attempt < TRIES:
            time.sleep(min(PATIENCE, _pause(reply, attempt)))
            continue
        if reply.status_code != 200:
            raise MatgenError(f"the service answered {reply.status_code}.", where=url, fix="Try again later.")
        if len(reply.content) > LARGEST:
            raise MatgenError("the reply is too large.", where=url)
        return reply
    raise AssertionError  # the last attempt returns or raises


def _pause(reply: httpx.Response, attempt: int) -> float:
    stated = reply.headers.get("Retry-After", "")
    return float(stated) if re.fullmatch(r"\d+(\.\d+)?", stated) else 2.0**attempt


def _arxiv(reply: httpx.Response, url: str) -> list[Document]:
    etree = require("lxml.etree", "assistant")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    found = []
    for entry in etree.fromstring(reply.content, parser).findall("a:entry", _ATOM):
        text = {name: entry.findtext(f"a:{name}", "", _ATOM) for name in ("id", "title", "summary", "published")}
        number = re.sub(r"v\d+$", "", text["id"].rsplit("/abs/", 1)[-1])
        fields = {
            "id": f"arXiv:{number}",
            "title": text["title"],
            "abstract": " ".join(text["summary"].split()),
            "date": text["published"],
            "authors": [a.findtext("a:name", "", _ATOM) for a in entry.findall("a:author", _ATOM)],
            "doi": entry.findtext("x:doi", "", _ATOM),
        }
        found.append(from_fields(fields, url))
    return found


def _crossref(reply: httpx.Response, url: str) -> list[Document]:
    found = []
    for item in reply.json()["message"]["items"]:
        people = [f"{a.get('given', '')} {a.get('family', a.get('name', ''))}".strip() for a in item.get("author", ())]
        years = (item.get("issued", {}).get("date-parts") or [[0]])[0]
        fields = {
            "title": _plain((item.get("title") or [""])[0]),
            "abstract": _plain(item.get("abstract", "")),
            "authors": people,
            "year": str(years[0] or ""),
            "doi": item.get("DOI", ""),
        }
        found.append(from_fields(fields, url))
    return found


def _openalex(reply: httpx.Response, url: str) -> list[Document]:
    found = []
    for item in reply.json()["results"]:
        places = [(at, word) for word, ats in (item.get("abstract_inverted_index") or {}).items() for at in ats]
        fields = {
            "title": _plain(item.get("title") or ""),
            "abstract": " ".join(word for _, word in sorted(places)),
            "authors": [a["author"]["display_name"] for a in item.get("authorships", ())],
            "year": str(item.get("publication_year") or ""),
            "doi": item.get("doi") or "",
        }
        found.append(from_fields(fields, url))
    return found


def _plain(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


_INTERFACES: dict[str, tuple[Callable[[str, int], dict[str, str]], Callable[[httpx.Response, str], list[Any]]]] = {
    "arxiv": (lambda q, n: {"search_query": f"all:{q}", "max_results": str(n)}, _arxiv),
    "crossref": (lambda q, n: {"query": q, "rows": str(n)}, _crossref),
    "openalex": (lambda q, n: {"search": q, "per-page": str(n)}, _openalex),
}
