"""Objectives, desirability, Pareto fronts, and the search itself. The package is callable: ``matgen.optimize(...)``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna


class _Optimize(ModuleType):
    """The verb ``optimize`` and the package of its parts, under one name."""

    def __call__(self, *args: Any, **options: Any) -> optuna.Study:
        """See :func:`matgen.optimize.search.optimize`."""
        from matgen.optimize.search import optimize

        return optimize(*args, **options)


def __getattr__(name: str) -> Any:
    if name == "optimize":
        from matgen.optimize.search import optimize

        return optimize
    raise AttributeError(f"module 'matgen.optimize' has no attribute {name!r}")


sys.modules[__name__].__class__ = _Optimize
