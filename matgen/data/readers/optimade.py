"""OPTIMADE, live: ``optimade:https://provider/path?filter=elements HAS ALL "Li"``.

Specification v1 (Andersen et al., Sci. Data 8, 217, 2021; Evans et al., Digital Discovery 3, 1509, 2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urljoin, urlsplit, urlunsplit

from matgen.data.readers.base import READERS, Reader
from matgen.data.records import Record
from matgen.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matgen.data.readers.web import WebClient

PAGE = 100

FIELDS = (
    "chemical_formula_reduced",
    "lattice_vectors",
    "cartesian_site_positions",
    "species",
    "species_at_sites",
    "dimension_types",
    "structure_features",
)

UNREADABLE = {
    "implicit_atoms": "some atoms have no positions",
    "assemblies": "its sites are correlated assemblies",
    "site_attachments": "atoms are attached to sites without positions",
}
"""Values of ``structure_features`` with which the sites alone are not the structure."""


@READERS.register("optimade")
class Optimade(Reader):
    """Structures of any provider of OPTIMADE v1; properties of its own (``_provider_name``) become columns.

    Name such properties in the address, as in ``&response_fields=_oqmd_delta_e,_oqmd_band_gap``.
    """

    scheme: ClassVar[str | None] = "optimade"

    def client(self) -> WebClient:
        """A client without credentials."""
        from matgen.data.readers.web import WebClient

        return WebClient()

    def read(self, source: str) -> Iterator[Record]:
        """One record an entry, page after page.

        Raises:
            ConfigError: The source is no address.
            DataError: The server fails, answers something else than OPTIMADE, or leads in a circle.
        """
        url, parameters = _address(source.removeprefix("optimade:").strip())
        number, seen = 0, set[str]()
        with self.client() as client:
            page = client.get(url, parameters)
            while True:
                for entry in _entries(page, url):
                    number += 1
                    yield _record(entry, number, source)
                following = _following(page, url, number)
                if following is None:
                    break
                if following in seen:
                    raise DataError("the pages lead in a circle.", where=following)
                seen.add(following)
                url, page = following, client.get(following)
        if number == 0:
            raise DataError("nothing answers this query.", where=source, fix="Check the filter.")


def _address(text: str) -> tuple[str, dict[str, str | int]]:
    """Address of the structures endpoint, and the parameters of the first page."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigError(
            f"{text!r} is no address of an OPTIMADE provider.",
            where="optimade:",
            fix='Give for example optimade:https://oqmd.org/optimade?filter=elements HAS "Li".',
        )
    path = parts.path.rstrip("/")
    if not path.endswith("/structures"):
        path = f"{path}/structures" if path.rsplit("/", 1)[-1].startswith("v1") else f"{path}/v1/structures"
    given = dict(parse_qsl(parts.query))
    fields = [name for name in given.pop("response_fields", "").split(",") if name]
    parameters: dict[str, str | int] = {"page_limit": PAGE, **given, "response_format": "json"}
    parameters["response_fields"] = ",".join([*FIELDS, *(name for name in fields if name not in FIELDS)])
    return urlunsplit((parts.scheme, parts.netloc, path, "", "")), parameters


def _entries(page: Mapping[str, Any], url: str) -> list[Any]:
    entries = page.get("data")
    if not isinstance(entries, list):
        raise DataError("the answer has no list 'data', as OPTIMADE demands.", where=url, fix="Check the address.")
    return entries


def _following(page: Mapping[str, Any], url: str, number: int) -> str | None:
    """Address of the next page; it must lie on the same host."""
    links, meta = page.get("links"), page.get("meta")
    link = links.get("next") if isinstance(links, dict) else None
    link = link.get("href") if isinstance(link, dict) else link
    more = meta.get("more_data_available") if isinstance(meta, dict) else None
    if not link:
        if more:
            raise DataError(f"there is more than {number} entries but no link to it.", where=url)
        return None
    if more is False:
        return None
    following = urljoin(url, str(link))
    if urlsplit(following).hostname != urlsplit(url).hostname or urlsplit(following).scheme not in {"http", "https"}:
        raise DataError(f"the next page lies elsewhere: {following}.", where=url)
    return following


def _record(entry: Any, number: int, source: str) -> Record:
    attributes = entry.get("attributes") if isinstance(entry, dict) else None
    if not isinstance(attributes, dict):
        return Record(number, source, "sites", str(entry), problem="the entry has no attributes")
    name = str(entry["id"]) if entry.get("id") is not None else None
    formula = attributes.get("chemical_formula_reduced")
    values = {k: v for k, v in attributes.items() if k not in FIELDS and isinstance(v, str | int | float)}
    features = attributes.get("structure_features") or []
    problem = next((UNREADABLE[feature] for feature in features if feature in UNREADABLE), None)
    sites = None if problem else _sites(attributes)
    if sites is None and problem is None:
        problem = "the entry lacks its lattice, its positions or its species"
    return Record(
        number,
        source,
        "sites",
        sites or {"entry": str(attributes)[:1000]},
        id=name,
        formula=formula if isinstance(formula, str) else None,
        values=values,
        problem=problem,
    )


def _sites(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Plain sites; species with several symbols, a concentration below 1 or a vacancy stay disordered."""
    at_sites, listed = attributes.get("species_at_sites"), attributes.get("species")
    positions, lattice = attributes.get("cartesian_site_positions"), attributes.get("lattice_vectors")
    if not (isinstance(at_sites, list) and positions and lattice):
        return None
    try:
        kinds = {s["name"]: dict(zip(s["chemical_symbols"], s["concentration"], strict=True)) for s in listed or ()}
    except (KeyError, TypeError, ValueError):
        return None
    kinds = {name: {k: v for k, v in parts.items() if k != "vacancy"} for name, parts in kinds.items()}
    periodic = attributes.get("dimension_types") or (1, 1, 1)
    return {
        "cell": lattice,
        "cart": positions,
        "pbc": [bool(axis) for axis in periodic],
        "species": [kinds.get(name, {name: 1.0}) for name in at_sites],
    }
