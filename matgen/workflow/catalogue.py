"""What there is to name in a workflow: parts, models, properties and workflows, with descriptions."""

from __future__ import annotations

import inspect
import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from matgen.constraints.base import CONSTRAINTS
from matgen.data.property import PROPERTIES
from matgen.errors import ConfigError, did_you_mean
from matgen.generators.base import CARD, GENERATORS, SHIPPED
from matgen.registry import Registry, summary
from matgen.stability.potential import POTENTIALS
from matgen.stability.references import SHIPPED as REFERENCES
from matgen.surrogates.base import SURROGATES
from matgen.workflow.config import WORKFLOWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REGISTRIES: dict[str, Registry[Any]] = {
    "generators": GENERATORS,
    "constraints": CONSTRAINTS,
    "surrogates": SURROGATES,
    "potentials": POTENTIALS,
    "workflows": WORKFLOWS,
}
KINDS = (*REGISTRIES, "properties", "models", "references")


def catalogue(kind: str) -> dict[str, str]:
    """Names of everything of a kind, each with one sentence.

    Args:
        kind: One of :data:`KINDS`.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind in REGISTRIES:
        return {name: summary(part) for name, part in REGISTRIES[kind]}
    if kind == "properties":
        return {name: f"{p.axis}{f'; {p.note}' if p.note else ''}" for name, p in sorted(PROPERTIES.items())}
    if kind in {"models", "references"}:
        return {name: _card_line(card) for name, card in _cards(kind).items()}
    raise ConfigError(f"there is nothing called {kind!r} to list.", fix=did_you_mean(kind, KINDS))


def describe(name: str) -> dict[str, Any]:
    """All that is known of a name, by kind (a few names are of several): text, settings, roles, card, schema.

    Raises:
        ConfigError: Nothing has that name.
    """
    listed = {kind: catalogue(kind) for kind in KINDS}
    found = {kind: _details(kind, name) for kind, names in listed.items() if name in names}
    if not found:
        known = {known for names in listed.values() for known in names}
        raise ConfigError(f"there is nothing called {name!r}.", fix=did_you_mean(name, known))
    return found


def _details(kind: str, name: str) -> dict[str, Any]:
    if kind == "properties":
        return {key: value for key, value in asdict(PROPERTIES[name]).items() if key != "name"}
    if kind in {"models", "references"}:
        return {"card": _cards(kind)[name]}
    part = REGISTRIES[kind].get(name)
    found: dict[str, Any] = {"text": inspect.getdoc(part) or "", "settings": _settings(part)}
    if kind == "workflows":
        config = part()
        found |= {"settings": None, "defaults": config.text(), "schema": part.model_json_schema()}
    extra: dict[str, Callable[[], Any]] = {
        "constraints": lambda: {"roles": list(part.roles())},
        "generators": lambda: {"conditions": sorted(part.conditions)},
    }
    return found | extra.get(kind, dict)()


def _settings(part: Any) -> dict[str, Any]:
    """Settings with their defaults; a setting without default is marked as needed."""
    if is_dataclass(part):
        own = [f for f in fields(part) if f.init and f.name != "acting"]
        given = {f.name: (f.default if f.default is not MISSING else _made(f)) for f in own}
    else:
        parameters = list(inspect.signature(part).parameters.values())
        given = {
            p.name: "needed" if p.default is p.empty else p.default
            for p in parameters
            if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}
        }
    return {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}


def _made(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else "needed"


def _cards(kind: str) -> dict[str, dict[str, Any]]:
    folder: Path = SHIPPED if kind == "models" else REFERENCES
    return {path.parent.name: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob(f"*/{CARD}"))}


def _card_line(card: dict[str, Any]) -> str:
    if said := card.get("summary") or card.get("description"):
        return str(said)
    facts = [f"{key} {card[key]}" for key in ("generator", "surrogate", "property", "potential") if key in card]
    return ", ".join(facts)
