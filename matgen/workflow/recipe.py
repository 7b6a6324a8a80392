"""Recipes: typed YAML files by which a model is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from matgen.workflow.config import Section, explain
from matgen.workflow.spelling import override, read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

Recipe = TypeVar("Recipe", bound=Section)


def read_recipe(kind: type[Recipe], path: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with overrides such as ``settings.epochs=10``.

    Raises:
        ConfigError: The file is unreadable, or something in it cannot be honoured.
    """
    raw = override(read_yaml(Path(path)), settings)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise explain(error, kind, str(path)) from error
