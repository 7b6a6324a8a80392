"""Validity, uniqueness, novelty, match rates. The package is itself callable: ``matgen.evaluate("samples.extxyz")``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class _Evaluate(ModuleType):
    """The verb ``evaluate`` and the package of its parts, under one name."""

    def __call__(self, *args: Any, **options: Any) -> tuple[dict[str, Any], pd.DataFrame]:
        """See :func:`matgen.evaluate.evaluation.evaluate`."""
        from matgen.evaluate.evaluation import evaluate

        return evaluate(*args, **options)


sys.modules[__name__].__class__ = _Evaluate
