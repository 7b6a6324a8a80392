"""Spaces, evaluators and rungs from their spelling in a workflow file: a name, or a name with settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from matgen.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from matgen.registry import Registry

Part = TypeVar("Part")

Spec = str | Mapping[str, Any]
"""A name, or a one-entry mapping from name to settings."""


def named(spec: Spec, where: str) -> tuple[str, dict[str, Any]]:
    """Name and settings of a spelled part.

    Raises:
        ConfigError: The spelling names no part or several.
    """
    if isinstance(spec, str):
        return spec, {}
    if len(spec) != 1:
        said = ", ".join(map(str, spec)) or "nothing"
        raise ConfigError(f"one name is wanted here, found {said}.", where=where, fix="Write it as name: {settings}.")
    name, settings = next(iter(spec.items()))
    if settings is not None and not isinstance(settings, Mapping):
        raise ConfigError(
            f"the settings of {name!r} are no mapping.", where=where, fix=f"Write {name}: {{key: value}}."
        )
    return str(name), dict(settings or {})


def build(registry: Registry[type[Part]], spec: Spec | Part, where: str) -> Part:
    """The part that a spelling names, a dataclass whose fields are its settings; a finished part passes through.

    Raises:
        ConfigError: Unknown name or setting, or a value of the wrong type.
    """
    if not isinstance(spec, str | Mapping):
        return spec
    name, settings = named(spec, where)
    kind = registry.get(name)
    known = [f.name for f in fields(kind) if f.init]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            fix = did_you_mean(str(key), known)
            raise ConfigError(f"{name} has no setting {key!r}.", where=f"{where}.{name}", fix=fix)
    try:
        return TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join([where, name, *(str(part) for part in first["loc"])])
        raise ConfigError(f"{first['msg'].lower()}, found {first['input']!r}.", where=place) from error
