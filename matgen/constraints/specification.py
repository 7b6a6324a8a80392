"""Constraints from their spelling in a workflow file or on the command line, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from matgen.constraints.base import CONSTRAINTS, Constraint, Role
from matgen.errors import ConfigError, did_you_mean

Spec = str | Mapping[str, Any] | Constraint
"""A name, a one-entry mapping from name to settings, or a finished constraint."""

DEFAULT_SPECS: tuple[dict[str, dict[str, Any]], ...] = (
    {"min_distance": {"absolute": 0.5, "radius_factor": 0.6}},
    {"volume_per_atom": {}},
    {"elements": {}},
    {"charge_neutral": {}},
)
"""What a candidate must pass where the user says nothing else."""


def build_constraints(specs: Sequence[Spec], role: Role = "check") -> tuple[Constraint, ...]:
    """Build the constraints that a workflow names, all of which must be able to play ``role``.

    Args:
        specs: For example ``["charge_neutral", {"min_distance": {"radius_factor": 0.6}}]``.
        role: What they are wanted for.

    Raises:
        ConfigError: Unknown name or setting, a value of the wrong type or out of range, or a missing role.
    """
    built = tuple(_build(spec) for spec in specs)
    for constraint in built:
        constraint.require_role(role)
    return built


def specify(constraint: Constraint) -> dict[str, dict[str, Any]]:
    """The spelling that builds this constraint again, in plain values."""
    settings = asdict(constraint)  # type: ignore[call-overload]
    return {constraint.name: {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}}


def parse_option(text: str) -> Spec:
    """Read a constraint from a command-line option.

    Args:
        text: ``name``, or ``name:key=value:key=value``; commas make a list, as in ``elements:forbidden=Pb,Cd``.
    """
    name, *settings = text.split(":")
    pairs = [setting.partition("=") for setting in settings]
    if bad := next((key for key, equals, _ in pairs if not equals), None):
        raise ConfigError(f"{bad!r} has no value.", where=f"--constraint {text}", fix="Write name:key=value.")
    return {name: {key.strip(): _value(value) for key, _, value in pairs}}


def _build(spec: Spec) -> Constraint:
    if isinstance(spec, Constraint):
        return spec
    if isinstance(spec, str):
        spec = {spec: {}}
    if len(spec) != 1:
        raise ConfigError(
            f"one constraint an entry, but this one names {len(spec)}: {', '.join(map(str, spec))}.",
            where="constraints",
            fix="Begin each constraint with a dash of its own.",
        )
    name, settings = next(iter(spec.items()))
    kind = CONSTRAINTS.get(name)
    settings = dict(settings or {})
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            raise ConfigError(f"there is no setting called {key!r}.", where=name, fix=did_you_mean(str(key), known))
    return _validated(kind, name, settings)


def _validated(kind: type[Constraint], name: str, settings: dict[str, Any]) -> Constraint:
    # A lone value stands for a list of one, so that `forbidden: Pb` means what it says.
    for field in fields(kind):  # type: ignore[arg-type]
        value = settings.get(field.name)
        if str(field.type).startswith("tuple") and isinstance(value, str | int):
            settings[field.name] = (value,)
    try:
        return TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([name, *(str(part) for part in first["loc"])])
        raise ConfigError(f"{first['msg'].lower()}, found {first['input']!r}.", where=place) from error


def _value(text: str) -> Any:
    # YAML 1.1 reads NO and No (nitrogen oxide, nobelium) as False; symbols and words stay text.
    def plain(part: str) -> Any:
        value = yaml.safe_load(part)
        return value if isinstance(value, int | float) and part not in {"NO", "No"} else part

    parts = [part.strip() for part in text.split(",")]
    return plain(parts[0]) if len(parts) == 1 else [plain(part) for part in parts]
