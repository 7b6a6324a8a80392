"""Elemental volumes: what an atom of each element adds to the volume of a compound.

Shapes: S structures, Z atomic numbers (0 to 118).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matgen.elements import N_NUMBERS, covalent_radius, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPICAL_ERROR = 0.05
"""Relative error of a volume that counts fully; larger ones count by their size, not its square."""

TABLE = Path(__file__).with_name("elemental_volumes.json")


@cache
def elemental_volumes() -> np.ndarray:
    """(119,) Å³ by atomic number, fitted to known compounds; NaN at 0.

    The table beside this module says what it was fitted to. An element that it lacks gets the volume of its
    covalent sphere times the mean ratio of the two over the others.
    """
    table = np.full(N_NUMBERS, np.nan)
    for symbol, volume in json.loads(TABLE.read_text(encoding="utf-8"))["volumes"].items():
        table[numbers()[symbol]] = volume
    sphere = np.nan_to_num(covalent_radius(), nan=1.6) ** 3
    guess = sphere * np.nanmean(table / sphere)
    table[1:] = np.where(np.isnan(table), guess, table)[1:]
    table.flags.writeable = False
    return table


def fit_elemental_volumes(
    counts: np.ndarray, volumes: np.ndarray, prior: np.ndarray, trust: float = 5.0, sweeps: int = 10
) -> np.ndarray:
    """(119,) Å³: the v_Z that minimise Σ_s |Σ_Z n_sZ v_Z / V_s - 1| with a pull towards the prior.

    Absolute rather than squared errors, because molecular crystals and open frameworks are far off any sum of
    elemental volumes; by least squares reweighted with the inverse residual.

    Args:
        counts: (S, 119) atoms of each element in each cell.
        volumes: (S,) cell volumes, Å³.
        prior: (119,) Å³, what is believed of elements that are rare in the data.
        trust: How many compounds with a share of a third the prior weighs as much as.
        sweeps: How often the weights are renewed.
    """
    believed = np.nan_to_num(prior)
    shares = counts / volumes[:, None]
    ridge = trust / 9.0 * np.diag(1.0 / np.maximum(believed, 1.0) ** 2)
    fitted = believed
    for _ in range(sweeps):
        weight = 1.0 / np.maximum(np.abs(shares @ fitted - 1.0), TYPICAL_ERROR) * TYPICAL_ERROR
        normal = (shares * weight[:, None]).T @ shares + ridge
        fitted = believed + np.linalg.solve(normal, (shares * weight[:, None]).T @ (1.0 - shares @ believed))
    fitted = np.maximum(fitted, 1.0)
    fitted[0] = np.nan
    return fitted


def element_counts(compositions: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(S, 119) atoms of each element, from pairs of atomic numbers and counts."""
    table = np.zeros((len(compositions), N_NUMBERS))
    for row, (elements, amounts) in zip(table, compositions, strict=True):
        row[elements] = amounts
    return table
