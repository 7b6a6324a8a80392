"""Settings of a surrogate, given by name and checked before any work starts."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from matgen.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")


def checked_settings(kind: type[Settings], given: Mapping[str, Any], surrogate: str) -> Settings:
    """The settings dataclass filled with what was given.

    Raises:
        ConfigError: An unknown name (with the nearest known ones), or a value of another type.
    """
    known = [field.name for field in fields(kind)]
    for key in given:
        if key not in known:
            raise ConfigError(f"{surrogate} has no setting {key!r}.", where=key, fix=did_you_mean(key, known))
    try:
        return TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = first["msg"].removeprefix("Input ")
        raise ConfigError(f"the value {said}, found {first['input']!r}.", where=str(first["loc"][0])) from error
