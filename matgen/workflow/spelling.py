"""YAML as workflow files spell it, and ``a.b=c`` overrides of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from matgen.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from pathlib import Path


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with the plain values of YAML 1.2 only, and without repeated keys.

    YAML 1.1 reads ``No`` (nobelium) and ``NO`` (nitrogen oxide) as False and ``1e-3`` as text, and of a key that
    is repeated the last one silently wins.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping in which no key occurs twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} occurs twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """YAML's safe dumper; it quotes text that either version of YAML would read as something else."""


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.0123456789")),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: The file is missing, is no YAML, repeats a key, or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"the workflow file cannot be read: {reason}.", where=str(path)) from error
    value = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise ConfigError("a workflow file holds 'key: value' lines.", where=str(path), fix="See 'matgen describe'.")
    return value


def parse_yaml(text: str, where: str) -> Any:
    """The value that YAML text stands for, in plain types only."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (the loader above is a safe one)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ConfigError(f"this is no YAML: {error.problem}{line}.", where=where) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"this is no YAML: {' '.join(str(error).split())}.", where=where) from error
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of thousands of digits
        raise ConfigError(f"this YAML cannot be read: {error}.", where=where) from error


def write_yaml(value: dict[str, Any]) -> str:
    """YAML text that :func:`read_yaml` reads back as the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def override(config: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy of nested mappings and lists with ``a.b=c`` settings applied, in order.

    A number in the path counts in a list from 0; sections that are not there yet are made. The value is YAML:
    ``n=100``, ``elements=[Li, P, S]``, ``train=null``.

    Raises:
        ConfigError: A setting has no ``=``, or its path leads through a value or past the end of a list.
    """
    result: Any = _copied(config)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"{setting!r} is no setting.", where="--set", fix="Write it as section.name=value.")
        _put(result, path.strip().split("."), parse_yaml(text, f"--set {path}"), setting)
    return dict(result)


def _put(node: Any, path: list[str], value: Any, setting: str) -> None:
    *through, last = path
    for depth, key in enumerate(through):
        if isinstance(node, dict):
            if node.get(key) is None:
                node[key] = {}
            node = node[key]
        else:
            node = node[_index(node, key, ".".join(path[:depth]), setting)]
    if isinstance(node, dict):
        node[last] = value
    else:
        node[_index(node, last, ".".join(through), setting)] = value


def _index(node: Any, key: str, parent: str, setting: str) -> int:
    if not isinstance(node, list):
        raise ConfigError(f"{parent!r} is a value and has nothing inside.", where=f"--set {setting}")
    if not key.isdigit() or int(key) >= len(node):
        known = [str(i) for i in range(len(node))]
        raise ConfigError(
            f"the list {parent!r} has no entry {key!r}.", where=f"--set {setting}", fix=did_you_mean(key, known)
        )
    return int(key)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
