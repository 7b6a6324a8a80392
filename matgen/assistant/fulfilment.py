"""A confirmed wish carried out, or written as the command that carries it out."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matgen.assistant.wishes import Wish
    from matgen.data.candidates import Candidates

MODEL = "flow-mp20"


def fulfil(wish: Wish, model: str | Path = MODEL, seed: int = 0) -> Candidates:
    """Sample what a wish asks for.

    Args:
        wish: As it was confirmed.
        model: Shipped model, generator or folder of a trained one.
        seed: Same seed, same structures.

    Raises:
        ConfigError: The generator cannot honour a part of the request or a constraint.
    """
    from matgen.generators.sampling import sample

    request = wish.request
    return sample(
        model,
        request.n,
        seed,
        formula=request.formula,
        chemical_system=request.chemical_system,
        n_atoms=request.n_atoms,
        space_group=request.space_group,
        target=request.target,
        constraints=wish.constraints,
    )


def sample_command(wish: Wish, model: str = MODEL, out: str = "candidates.extxyz") -> str:
    """The command line of ``matgen sample`` for a wish."""
    request = wish.request
    parts = ["matgen", "sample", model, "--out", out, "--n", str(request.n)]
    for name in ("formula", "chemical_system", "n_atoms", "space_group"):
        value = getattr(request, name)
        if value is not None:
            parts += [f"--{name.replace('_', '-')}", str(value)]
    for name, value in request.target.items():
        parts += ["--set", f"target.{name}={value:g}"]
    for spec in wish.constraints:
        parts += ["--constraint", _option(*next(iter(spec.items())))]
    return shlex.join(parts)


def _option(name: str, settings: dict[str, Any]) -> str:
    """A constraint as :func:`matgen.constraints.specification.parse_option` reads it."""
    values = {k: ",".join(map(str, v)) if isinstance(v, list | tuple) else v for k, v in settings.items()}
    return ":".join([name, *(f"{k}={v}" for k, v in values.items())])
