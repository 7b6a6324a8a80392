"""matgen: generative discovery of materials with domain knowledge inside the models.

Every verb of the command line is a function of the same name here::

    import matgen

    run = matgen.run("workflows/discover.yaml", ["sample.0.n=200"])
    run.candidates.table.head()

Names are imported when they are first used, so that ``import matgen`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Candidates": "matgen.data.candidates",
    "Dataset": "matgen.data.dataset",
    "Request": "matgen.data.request",
    "compare": "matgen.evaluate.comparison",
    "examine": "matgen.stability.examination",
    "hull": "matgen.stability.hull",
    "ingest": "matgen.data.ingest",
    "load_generator": "matgen.generators.base",
    "novelty": "matgen.evaluate.novelty",
    "predict": "matgen.surrogates.prediction",
    "rank": "matgen.optimize.ranking",
    "relax": "matgen.stability.relaxation",
    "run": "matgen.workflow.run",
    "sample": "matgen.optimize.selection",
    "screen": "matgen.constraints.screening",
    "train": "matgen.generators.training",
    "tune": "matgen.optimize.tuning",
}
# The subpackages of these names are themselves callable.
_CALLABLE = ("evaluate", "optimize", "report")

__all__ = ["__version__", *sorted([*_PUBLIC, *_CALLABLE])]


def __getattr__(name: str) -> Any:
    if name in _CALLABLE:
        return import_module(f"matgen.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'matgen' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
