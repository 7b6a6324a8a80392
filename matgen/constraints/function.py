"""A user's own function as a constraint."""

from __future__ import annotations

import inspect
from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core import Structure


def constraint(function: Callable[..., str | bool | None]) -> type[Constraint]:
    """Decorator that makes a constraint of a function of one structure, registered under the function's name.

    The function says why a structure fails, and returns None where it passes; True and False serve too. Further
    parameters are the settings; each needs a type and a default. It acts as a check::

        @constraint
        def heavy(structure, low: float = 5.0):
            "Mass density of at least a limit in g/cm³."
            return None if structure.density >= low else f"{structure.density:.1f} g/cm³, wanted {low:g}"

    Args:
        function: From a structure and settings to a reason or None. Its docstring describes the constraint.

    Raises:
        ConfigError: A parameter without type or default, or no parameter for the structure.
    """
    name = function.__name__
    settings = list(inspect.signature(function).parameters.values())[1:]
    types = get_type_hints(function)
    unclear = [p.name for p in settings if p.default is p.empty or p.name not in types]
    if unclear or not inspect.signature(function).parameters:
        raise ConfigError(
            f"the function {name!r} " + (f"gives no type or default for {unclear[0]!r}." if unclear else "takes none."),
            where=f"{function.__module__}.{name}",
            fix="Let it take a structure first, then settings such as 'low: float = 5.0'.",
        )

    def check(self: Constraint, structures: Sequence[Structure]) -> Verdict:
        """Ask the function; the score is 0 where it is content, else 1."""
        given = {p.name: getattr(self, p.name) for p in settings}
        reasons = [_reason(name, function(structure, **given)) for structure in structures]
        return Verdict.of([float(reason is not None) for reason in reasons], reasons)

    made = make_dataclass(
        name,
        [(p.name, types[p.name], field(default=p.default)) for p in settings],
        bases=(Constraint,),
        namespace={"name": name, "check": check, "__doc__": function.__doc__ or f"The user's rule {name!r}."},
        frozen=True,
    )
    made.__module__ = function.__module__
    return CONSTRAINTS.register(name)(made)


def _reason(name: str, found: Any) -> str | None:
    """What a function's answer means."""
    if found is None or found is True:
        return None
    if isinstance(found, str) and found:
        return found
    if found is False:
        return f"the rule {name!r} is not kept"
    raise ConfigError(
        f"the function {name!r} returned {found!r}.",
        where="constraints",
        fix="Return a reason, None, True or False.",
    )
