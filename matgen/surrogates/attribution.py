"""Which atoms a graph surrogate's answer rests on: each orbit left out of the average in turn.

Shapes: S structures, N orbits of atoms of a structure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.elements import symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.surrogates.graph import GraphEnsemble


def site_contributions(model: GraphEnsemble, structures: Sequence[Structure]) -> list[pd.DataFrame]:
    """What each orbit of atoms adds to the prediction, in the property's unit.

    The contribution of an orbit is f - f(without it): the network runs on the whole graph, and then the average over
    atoms, from which the answer is read, leaves the orbit out. So it says where the answer is read from, not what
    removal of the atoms would do. An orbit that is the whole structure has none (NaN).

    Args:
        model: A fitted graph surrogate.
        structures: S structures.

    Returns:
        S tables of N rows: ``element``, ``share`` of the atoms, ``contribution``.
    """
    items = model.items(structures)
    variants = [without for item in items for without in _without_each(item)]
    whole, partial = _means(model, items), _means(model, variants)
    tables, first = [], 0
    for item, full in zip(items, whole, strict=True):
        n = len(item.numbers)
        found = np.full(n, np.nan)
        if n > 1:
            found = full - partial[first : first + n]
            first += n
        names = [symbols()[z] for z in item.numbers.tolist()]
        tables.append(pd.DataFrame({"element": names, "share": item.weight.numpy(), "contribution": found}))
    return tables


def element_contributions(model: GraphEnsemble, structures: Sequence[Structure]) -> pd.DataFrame:
    """Contributions of all orbits by element, the most weighty first.

    Returns:
        ``features`` (the element), ``orbits``, ``contribution`` (mean) and ``size`` (mean of the absolute values).
    """
    rows = pd.concat(site_contributions(model, structures), ignore_index=True).dropna()
    rows = rows.assign(size=rows["contribution"].abs())
    found = rows.groupby("element").agg(
        orbits=("size", "size"), contribution=("contribution", "mean"), size=("size", "mean")
    )
    return found.sort_values("size", ascending=False).rename_axis("features").reset_index()


def _without_each(item: Any) -> list[Any]:
    """The graph once for each orbit, with that orbit's weight given to the others in their proportions."""
    if len(item.numbers) == 1:
        return []
    found = []
    for orbit in range(len(item.numbers)):
        changed = item.clone()
        changed.weight[orbit] = 0.0
        changed.weight = changed.weight / changed.weight.sum()
        found.append(changed)
    return found


def _means(model: GraphEnsemble, items: Sequence[Any]) -> np.ndarray:
    return model.offset + model.scale * model._outputs(items)[0].mean(axis=0)
