"""The Materials Project, live: ``mp:Li-P-S``, ``mp:SrTiO3``, ``mp:mp-149,mp-13`` or ``mp:?key=value&...``.

Structures are those of the summary endpoint, with the formation energy, the energy above the hull and the PBE gap.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

from pymatgen.core import Element

from matgen.data.readers.base import READERS, Reader
from matgen.data.readers.documents import record
from matgen.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matgen.data.readers.web import WebClient
    from matgen.data.records import Record

KEY_VARIABLE, ENDPOINT_VARIABLE = "MP_API_KEY", "MP_API_ENDPOINT"
ENDPOINT = "https://api.materialsproject.org/"
SUMMARY = "materials/summary/"
PAGE = 500
"""Documents asked for at once; the interface allows 1,000."""

FIELDS = (
    "material_id",
    "formula_pretty",
    "structure",
    "formation_energy_per_atom",
    "energy_above_hull",
    "band_gap",
    "theoretical",
)


@READERS.register("mp")
class MaterialsProject(Reader):
    """Summary documents of the Materials Project; needs an API key in the environment."""

    scheme: ClassVar[str | None] = "mp"

    def client(self) -> WebClient:
        """A client that sends the API key."""
        from matgen.data.readers.web import WebClient

        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise ConfigError(
                "no API key of the Materials Project.",
                where=KEY_VARIABLE,
                fix=f"Get one at https://materialsproject.org/api and set the environment variable {KEY_VARIABLE}.",
            )
        return WebClient(headers={"X-API-KEY": key})

    def read(self, source: str) -> Iterator[Record]:
        """One record a document, page after page.

        Raises:
            ConfigError: There is no API key, or the query makes no sense.
            DataError: The server fails, or its pages do not add up to the number of documents it announces.
        """
        number = 0
        query = _query(source.removeprefix("mp:").strip())
        for number, document in enumerate(self.documents(SUMMARY, query, FIELDS), start=1):
            yield record(document, number, source)
        if number == 0:
            raise DataError("nothing in the Materials Project answers this query.", where=source)

    def documents(self, endpoint: str, query: Mapping[str, str], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The documents of an endpoint that answer a query, page after page.

        Raises:
            ConfigError: There is no API key.
            DataError: The server fails, or its pages do not add up to the number of documents it announces.
        """
        url = os.environ.get(ENDPOINT_VARIABLE, ENDPOINT).rstrip("/") + f"/{endpoint}"
        fixed: dict[str, str | int] = {"_fields": ",".join(fields), "_all_fields": "false", "_limit": PAGE}
        number, announced = 0, 1
        with self.client() as client:
            while number < announced:
                page = client.get(url, {**query, **fixed, "_skip": number})
                documents, announced = _page(page, url)
                if not documents:
                    break
                number += len(documents)
                yield from documents
        if 0 < number < announced:
            raise DataError(f"only {number} of {announced} documents arrived.", where=url, fix="Try again.")


def _page(page: dict[str, Any], url: str) -> tuple[list[Any], int]:
    """Documents of a page, and how many there are in all."""
    documents, meta = page.get("data"), page.get("meta")
    total = meta.get("total_doc") if isinstance(meta, dict) else None
    if not isinstance(documents, list) or not isinstance(total, int):
        raise DataError("the answer has no list 'data' or no number 'meta.total_doc'.", where=url)
    return documents, total


def _query(text: str) -> dict[str, str]:
    """Query of the summary endpoint for what stands after ``mp:``."""
    if text.startswith("?"):
        query = dict(parse_qsl(text[1:]))
        if query:
            return query
    elif re.fullmatch(r"(mp|mvc)-\w+(,\s*(mp|mvc)-\w+)*", text):
        return {"material_ids": text.replace(" ", "")}
    elif re.fullmatch(r"[A-Z][a-z]?(-[A-Z][a-z]?)*", text) and all(map(Element.is_valid_symbol, text.split("-"))):
        return {"chemsys": "-".join(sorted(text.split("-")))}
    elif re.fullmatch(r"[A-Za-z0-9()*]+", text):
        return {"formula": text}
    raise ConfigError(
        f"{text!r} is no query of the Materials Project.",
        where="mp:",
        fix="Give a chemical system (Li-P-S), a formula (SrTiO3), ids (mp-149,mp-13) or ?elements=Li,P&nelements=3.",
    )
