"""Energies that know their scale, so that those of different potentials never meet in one hull."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np


_FIXES = {
    False: "Use a reference table made with the same potential (matgen hull --build-reference).",
    True: "Energies of density functional theory are judged by those of the same functional and corrections alone.",
}
"""What to do about two scales, by whether one is that of density functional theory."""


@dataclass(frozen=True)
class EnergyScale:
    """What an energy is measured on: two energies may be subtracted only if their scales are equal.

    Args:
        potential: Name and version of the potential (or functional), for example ``chgnet-0.3.0``.
        correction: The correction scheme that the energies contain, for example ``MP2020``, or ``none``.
    """

    potential: str
    correction: str = "none"

    def __str__(self) -> str:
        return f"{self.potential}/{self.correction}"

    @classmethod
    def parse(cls, text: str) -> EnergyScale:
        """The scale that :func:`str` wrote."""
        potential, _, correction = text.partition("/")
        return cls(potential, correction or "none")

    @classmethod
    def common(cls, texts: Iterable[str], where: str) -> EnergyScale:
        """The one scale that all rows of a column share.

        Raises:
            ConfigError: The rows are on different scales, or there are none.
        """
        scales = sorted(set(texts))
        if len(scales) != 1:
            raise ConfigError(
                f"energies on {len(scales)} scales ({', '.join(scales) or 'none'}) where one was expected.",
                where=where,
                fix="Compute all of them with the same potential.",
            )
        return cls.parse(scales[0])


@dataclass(frozen=True)
class Energies:
    """Energies of S structures on one scale.

    Args:
        per_atom: (S,) eV/atom.
        scale: What they are measured on.
    """

    per_atom: np.ndarray
    scale: EnergyScale

    def on(self, scale: EnergyScale, where: str) -> np.ndarray:
        """(S,) The bare numbers, eV/atom, for use together with others of ``scale``.

        Raises:
            ConfigError: These energies are on another scale.
        """
        if self.scale != scale:
            raise ConfigError(
                f"energies on the scale {str(self.scale)!r} cannot be compared with {str(scale)!r}.",
                where=where,
                fix=_FIXES["dft-" in f"{self.scale} {scale}"],
            )
        return self.per_atom
