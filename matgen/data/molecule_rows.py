"""Molecules side by side: one kind of rows in a data set, and rows that hold the same molecule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from matgen.data.labels import tolerance
from matgen.data.molecule_gate import MOLECULE_FORMATS
from matgen.data.resolution import keep_one
from matgen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from matgen.data.intake import Intake

SKELETON = 14
"""Characters of an InChIKey that stereoisomers and isotopologues share."""


def check_one_kind(intake: Intake, where: str) -> None:
    """Refuse rows without a geometry where others have one.

    Raises:
        DataError: Molecules and crystals in one source.
    """
    table = intake.table.iloc[intake.inside]
    if not table["format"].isin(MOLECULE_FORMATS).all():
        raise DataError("molecules and crystals in one source.", where=where, fix="Ingest them into two data sets.")
    if intake.has_structures:
        for position in table.index[table["numbers"].isna()]:
            intake.refuse(int(position), "structure", "no geometry, while other rows have one")


def resolve_molecules(
    intake: Intake, labels: pd.DataFrame, action: Literal["quarantine", "flag", "ignore"] = "quarantine"
) -> np.ndarray:
    """Refuse all but one of the rows with the same InChIKey.

    Returns:
        (N,) number of the group of each row; stereoisomers share one.
    """
    inside = intake.inside
    keys = intake.table["inchikey"].iloc[inside]
    group = np.arange(len(intake))
    first = {skeleton: row for row, skeleton in reversed(list(zip(inside, keys.str[:SKELETON], strict=True)))}
    group[inside] = [first[skeleton] for skeleton in keys.str[:SKELETON]]
    if action == "ignore":
        return group
    limits = {str(name): tolerance(str(name), labels[name].to_numpy()) for name in labels}
    repeated = keys[keys.duplicated(keep=False)]
    for _, same in repeated.groupby(repeated, sort=False):
        rows = same.index.to_numpy()
        if action == "flag":
            for row in rows[1:]:
                intake.flags[row].append(f"duplicate: same molecule as {intake.table.at[rows[0], 'id']}")
        else:
            keep_one(intake, labels, rows, limits)
    return group
