"""Add predicted properties to candidates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.property import find_property
from matgen.errors import ConfigError
from matgen.runtime import whole_file
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.storage import load_surrogate, shipped
from matgen.surrogates.tables import read_compositions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.data.candidates import Candidates
    from matgen.surrogates.base import Prediction, Surrogate

IN_DOMAIN, DISTANCE = "in_domain", "domain_distance"
SHARED = "several elements share a site, and the model reads ordered structures"


def predict(
    prop: str | Sequence[str],
    candidates: Candidates,
    model: str | Path | Surrogate | Mapping[str, str | Path | Surrogate] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
) -> Candidates:
    """Predict one or several properties of all candidates.

    Adds ``<property>`` (mean) and ``<property>_std`` (mean ± 1.645 std holds 90 % of data like the training data) for
    each, one column ``in_domain``: whether *every* model used here has seen structures like this one, and
    ``domain_distance``: how far the structure is from the training data of the model that knows it least, where 1 is
    the edge of the domain.

    Args:
        prop: Name or names of properties.
        candidates: What to predict for.
        model: Shipped model's name, folder, or fitted surrogate; for several properties, a mapping by property. By
            default, the shipped model of each property.
        columns: Other column names by property, for example ``{"e_form": "e_form_surrogate"}``.

    Raises:
        ConfigError: No such property or model, a model of another property, or a property without a shipped model.
    """
    names = [prop] if isinstance(prop, str) else list(prop)
    models = model if isinstance(model, Mapping) else dict.fromkeys(names, model)
    added: dict[str, np.ndarray] = {}
    inside, far = np.ones(len(candidates), dtype=bool), np.zeros(len(candidates))
    for name in names:
        prediction = surrogate_for(name, models.get(name)).predict(candidates.structures)
        column = (columns or {}).get(name, name)
        added |= {column: prediction.mean, f"{column}_std": prediction.std}
        inside &= prediction.in_domain
        far = np.maximum(far, np.nan if prediction.distance is None else prediction.distance)
    return candidates.with_columns({**added, IN_DOMAIN: inside, DISTANCE: far})


def readable(candidates: Candidates, surrogate: Surrogate) -> Candidates:
    """Candidates without those that a surrogate cannot read; they are rejected with the reason."""
    reads = surrogate.reads == "structures"
    reasons = [SHARED if reads and not structure.is_ordered else None for structure in candidates.structures]
    return candidates.reject("predict", reasons)


def prediction_table(candidates: Candidates, surrogate: Surrogate) -> pd.DataFrame:
    """One row a candidate: ``id, formula, mean, std, in_domain, domain_distance``, in the unit of the property.

    The numbers of candidates that the surrogate cannot read are missing.
    """
    able = readable(candidates, surrogate)
    table = pd.DataFrame(
        {
            "id": candidates.table["id"].to_numpy(),
            "formula": [structure.composition.reduced_formula for structure in candidates.structures],
        }
    )
    return _answered(table, surrogate.predict(able.structures), table["id"].isin(able.table["id"]).to_numpy())


def formula_table(source: str | Path, column: str, surrogate: Surrogate) -> pd.DataFrame:
    """The same for the formulas in one column of a CSV or Parquet file; ``id`` is its column ``id``, or the row.

    Raises:
        ConfigError: The surrogate needs more than a formula.
        DataError: No such table or column.
    """
    if surrogate.reads != "compositions":
        kinds = {name: card["surrogate"] for name, card in shipped().items() if card["property"] == surrogate.prop.name}
        able = [name for name, kind in kinds.items() if SURROGATES.get(kind).reads == "compositions"]
        fix = f"Name one that reads formulas: --model {able[0]}." if able else "Give structures."
        raise ConfigError(f"the model reads {surrogate.reads}, not formulas.", where="--formula", fix=fix)
    rows, found = read_compositions(source, column)
    ids = rows["id"] if "id" in rows else pd.Series(range(len(rows)))
    table = pd.DataFrame({"id": ids.to_numpy(), "formula": rows[column].to_numpy()})
    known = np.array([composition is not None for composition in found], dtype=bool)
    formulas: list[Any] = [composition for composition in found if composition is not None]
    return _answered(table, surrogate.predict(formulas), known)


def _answered(table: pd.DataFrame, prediction: Prediction, rows: np.ndarray) -> pd.DataFrame:
    """The table with the prediction in ``rows`` (S,), and no numbers in the others."""
    found = pd.DataFrame({"mean": prediction.mean, "std": prediction.std, IN_DOMAIN: prediction.in_domain})
    found[DISTANCE] = np.nan if prediction.distance is None else prediction.distance
    table[found.columns] = found.set_index(table.index[rows]).reindex(table.index)
    return table.assign(**{IN_DOMAIN: table[IN_DOMAIN].eq(True)})


def write_predictions(path: str | Path, table: pd.DataFrame) -> None:
    """Write a prediction table as CSV, whole or not at all."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False)


def surrogate_for(prop: str, model: str | Path | Surrogate | None = None) -> Surrogate:
    """The surrogate of a property: the given one, loaded if need be, or the shipped one.

    Where several shipped models predict a property, the one whose card says ``"default": true`` is taken.

    Raises:
        ConfigError: No such property or model, or the model predicts another property.
    """
    if model is None:
        model = default_model(find_property(prop).name)
    found = load_surrogate(model) if isinstance(model, str | Path) else model
    if found.prop.name != prop:
        raise ConfigError(f"the model predicts {found.prop.name!r}, not {prop!r}.", where=str(model))
    return found


def default_model(prop: str) -> str:
    """Name of the shipped model that predicts a property.

    Raises:
        ConfigError: There is none.
    """
    cards = {name: card for name, card in shipped().items() if card["property"] == prop}
    if not cards:
        known = sorted({card["property"] for card in shipped().values()})
        raise ConfigError(
            f"no shipped model predicts {prop!r}.",
            fix=f"Shipped: {', '.join(known) or 'none'}. Train one with 'matgen train surrogate' and name it.",
        )
    return max(cards, key=lambda name: (bool(cards[name].get("default")), name))
