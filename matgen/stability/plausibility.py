"""Doubts about energies far below the hull, and decompositions in words.

Depth alone proves little: of the stable compounds of the shipped table, each judged by the hull of all others, more
than a third lie over 0.1 eV/atom below it (``benchmarks/stability_depth.py``). So a moderate depth is doubted only
where something else is odd, and depth alone only where known compounds hardly go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matgen.errors import ConfigError
from matgen.stability.allotropes import CM3_PER_MOL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core import Composition

    from matgen.data.candidates import Candidates

TOO_LOW = 0.3
"""Farther below the hull is doubted for its depth alone, eV/atom: about 95 % of known ternaries lie higher."""

LOW = 0.1
"""Farther than this is doubted where something else is odd too."""

VOLUME_CHANGE, MOVED, VOLUME_RATIO = 0.2, 1.0, (0.5, 1.5)
"""Relative change of volume, displacement (Å), and volume by that of the elements, beyond which a relaxation is odd."""


def suspicions(candidates: Candidates) -> list[str]:
    """Why the energy of each candidate should be checked before it is believed; empty where nothing speaks against it.

    Doubted are candidates more than :data:`TOO_LOW` below the hull, and those more than :data:`LOW` below it whose
    relaxation did not converge or went far, whose reference system is thin, or whose volume is unlike its elements'.

    Args:
        candidates: With ``e_above_hull``, and the columns of :func:`matgen.relax` where there are any.

    Raises:
        ConfigError: There is no ``e_above_hull``.
    """
    if "e_above_hull" not in candidates.table:
        raise ConfigError("the candidates have no column 'e_above_hull'.", fix="Run 'matgen hull' first.")
    rows = candidates.table.to_dict("records")
    return [
        _suspicion(row, s.composition, s.volume / len(s)) for row, s in zip(rows, candidates.structures, strict=True)
    ]


def decomposition(candidates: Candidates) -> list[str]:
    """The decomposition of each candidate in words, from ``competing_phases`` and ``e_above_hull``."""
    rows = zip(
        candidates.structures, candidates.table["competing_phases"], candidates.table["e_above_hull"], strict=True
    )
    return [_in_words(s.composition.reduced_formula, phases, float(above)) for s, phases, above in rows]


def elemental_volume(composition: Composition) -> float:
    """Mean volume per atom of the elements by their molar volumes, Å³; NaN where one is not known."""
    shares = composition.fractional_composition.items()
    return float(sum((float(e.molar_volume or np.nan) * CM3_PER_MOL) * share for e, share in shares))


def _suspicion(row: Mapping[str, object], composition: Composition, volume: float) -> str:
    above = _number(row, "e_above_hull")
    if not above < -LOW:
        return ""
    ratio = volume / elemental_volume(composition)
    evidence = {
        f"deeper than {TOO_LOW:g} eV/atom, where about 95 % of known ternaries are not": above < -TOO_LOW,
        "the relaxation did not converge": row.get("relax_status") == "unconverged",
        f"the volume changed by more than {VOLUME_CHANGE:.0%}": abs(_number(row, "volume_change")) > VOLUME_CHANGE,
        f"atoms moved more than {MOVED:g} Å": _number(row, "rmsd") > MOVED,
        "few compounds are known in the system": bool(row.get("thin_system", False)),
        f"the volume is {ratio:.2f} of its elements'": ratio < VOLUME_RATIO[0] or ratio > VOLUME_RATIO[1],
    }
    named = [words for words, holds in evidence.items() if holds]
    return f"implausibly low ({above:+.2f} eV/atom): check; {', '.join(named)}" if named else ""


def _number(row: Mapping[str, object], name: str) -> float:
    return float(row.get(name, np.nan))  # type: ignore[arg-type]


def _in_words(formula: str, phases: str, above: float) -> str:
    if above > 0:
        return f"{formula} would decompose into {phases} (shares of the atoms), releasing {above:.3f} eV/atom"
    return f"{formula} lies {-above:.3f} eV/atom below {phases} (shares of the atoms): no known decomposition"
