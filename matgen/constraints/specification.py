"""Constraints from their spelling in a workflow file or on the command line, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from matgen.constraints.base import CONSTRAINTS, INSIDE, ROLES, Constraint, Role
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
        specs: For example ``["charge_neutral", {"min_distance": {"radius_factor": 0.6}}]``. Besides the constraint's
            own settings each may say ``roles``, a list of those in which it shall act.
        role: What they are wanted for.

    Raises:
        ConfigError: Unknown name or setting, a value of the wrong type or out of range, or a missing role.
    """
    built = tuple(_build(spec) for spec in specs)
    for constraint in built:
        constraint.require_role(role)
        if not constraint.acts_as(role):
            raise ConfigError(
                f"the constraint {constraint.name!r} acts as {role!r} here, but its roles are: "
                f"{', '.join(constraint.acting or ())}.",
                where=f"{constraint.name}.roles",
                fix=f"Add {role!r}, or leave 'roles' out.",
            )
    return built


def build_acting(specs: Sequence[Spec]) -> tuple[Constraint, ...]:
    """Build the constraints of a sampling: each acts while a structure is made, or is told to check.

    Args:
        specs: As for :func:`build_constraints`. With ``roles: [check]`` a constraint rejects finished samples.

    Raises:
        ConfigError: As there, or a constraint that can only check and was not told to.
    """
    built = tuple(_build(spec) for spec in specs)
    for constraint in built:
        if constraint.acting is None and not any(role in INSIDE for role in constraint.available()):
            raise ConfigError(
                f"the constraint {constraint.name!r} cannot act as {', '.join(map(repr, INSIDE))}.",
                where="constraints",
                fix=f"It can act as: {', '.join(constraint.available())}. Say roles: [check], or use it to screen.",
            )
        if "penalty" in (constraint.acting or ()) and not constraint.guides:
            raise ConfigError(
                f"the penalty of {constraint.name!r} depends on elements alone, so it guides no positions.",
                where=f"{constraint.name}.roles",
                fix="Use it under 'penalties' of a training, or leave 'penalty' out.",
            )
    return built


def specify(constraint: Constraint) -> dict[str, dict[str, Any]]:
    """The spelling that builds this constraint again, in plain values."""
    settings = asdict(constraint)
    acting = settings.pop("acting")
    settings |= {} if acting is None else {"roles": acting}
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
    acting = _acting(kind, settings.pop("roles", None))
    known = [f.name for f in fields(kind) if f.name != "acting"]
    for key in settings:
        if key not in known:
            raise ConfigError(f"there is no setting called {key!r}.", where=name, fix=did_you_mean(str(key), known))
    built = _validated(kind, name, settings if acting is None else {**settings, "acting": acting})
    for role in acting or ():
        built.require_role(role)
    return built


def _acting(kind: type[Constraint], roles: Any) -> tuple[Role, ...] | None:
    """The roles in which a constraint shall act."""
    if roles is None:
        return None
    named: list[Any] = [roles] if isinstance(roles, str) else list(roles)
    for role in named:
        if role not in ROLES:
            raise ConfigError(f"there is no role {role!r}.", where=f"{kind.name}.roles", fix=did_you_mean(role, ROLES))
    if not named:
        raise ConfigError("no role is named.", where=f"{kind.name}.roles", fix="Name one, or leave 'roles' out.")
    return tuple(named)


def _validated(kind: type[Constraint], name: str, settings: dict[str, Any]) -> Constraint:
    # A lone value stands for a list of one, so that `forbidden: Pb` means what it says.
    for field in fields(kind):
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
        try:
            value = yaml.safe_load(part)
        except yaml.YAMLError:  # text such as "* a", which stands for itself
            return part
        return value if isinstance(value, int | float) and part not in {"NO", "No"} else part

    parts = [part.strip() for part in text.split(",")]
    return plain(parts[0]) if len(parts) == 1 else [plain(part) for part in parts]
