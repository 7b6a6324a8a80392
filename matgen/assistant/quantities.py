"""Numbers with units in text, so that an answer's numbers can be held against their source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isclose

from matgen.assistant.materials import find_materials
from matgen.assistant.notation import readable

UNITS: dict[str, tuple[str, float]] = {
    "K": ("temperature", 1.0), "mK": ("temperature", 1e-3), "°C": ("celsius", 1.0), "degC": ("celsius", 1.0),
    "°": ("angle", 1.0), "eV": ("energy", 1.0), "meV": ("energy", 1e-3), "keV": ("energy", 1e3), "MeV": ("energy", 1e6),
    "μeV": ("energy", 1e-6), "Å": ("length", 1e-10), "nm": ("length", 1e-9), "μm": ("length", 1e-6),
    "pm": ("length", 1e-12), "mm": ("length", 1e-3), "cm": ("length", 1e-2), "m": ("length", 1.0),
    "Pa": ("pressure", 1.0), "kPa": ("pressure", 1e3), "MPa": ("pressure", 1e6), "GPa": ("pressure", 1e9),
    "TPa": ("pressure", 1e12), "kbar": ("pressure", 1e8), "bar": ("pressure", 1e5), "atm": ("pressure", 101325.0),
    "T": ("field", 1.0), "mT": ("field", 1e-3), "Oe": ("oersted", 1.0), "kOe": ("oersted", 1e3),
    "h": ("time", 3600.0), "hour": ("time", 3600.0), "hours": ("time", 3600.0), "hr": ("time", 3600.0),
    "min": ("time", 60.0), "minutes": ("time", 60.0), "s": ("time", 1.0), "ms": ("time", 1e-3), "μs": ("time", 1e-6),
    "ns": ("time", 1e-9), "ps": ("time", 1e-12), "fs": ("time", 1e-15), "days": ("time", 86400.0),
    "V": ("voltage", 1.0), "mV": ("voltage", 1e-3), "kV": ("voltage", 1e3), "A": ("current", 1.0),
    "mA": ("current", 1e-3), "μA": ("current", 1e-6), "Hz": ("frequency", 1.0), "kHz": ("frequency", 1e3),
    "MHz": ("frequency", 1e6), "GHz": ("frequency", 1e9), "THz": ("frequency", 1e12), "%": ("percent", 1.0),
    "wt%": ("percent", 1.0), "wt.%": ("percent", 1.0), "wt.-%": ("percent", 1.0), "at%": ("percent", 1.0),
    "at.%": ("percent", 1.0), "mol%": ("percent", 1.0), "percent": ("percent", 1.0), "K^-1": ("per kelvin", 1.0),
    "/K": ("per kelvin", 1.0), "ppm/K": ("per kelvin", 1e-6), "g": ("mass", 1.0),
    "mg": ("mass", 1e-3), "kg": ("mass", 1e3), "mL": ("volume", 1.0), "ml": ("volume", 1.0),
    "L": ("volume", 1e3), "W": ("power", 1.0), "mW": ("power", 1e-3), "μB": ("moment", 1.0), "mol": ("amount", 1.0),
    "mmol": ("amount", 1e-3), "M": ("molarity", 1.0), "rpm": ("rpm", 1.0), "atoms": ("atoms", 1.0),
}  # fmt: skip
WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12,
}  # fmt: skip

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_ONE = re.compile(
    rf"(?<![\w.^])(?<!\^[-+])(?P<sign>(?<![\w)])[-+])?(?:10\^(?P<bare>[-+]?\d+)|(?P<number>{_NUMBER})"
    rf"(?:\s?[×x·*]\s?10\^?(?P<power>[-+]?\d+)|[eE](?P<exponent>[-+]?\d+)(?!\w))?)(?!\.?\d)"
)
_TAIL = re.compile(r"\s?-?(" + "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True)) + r")(?![A-Za-z])")
_RANGE = re.compile(rf"\s?(?:-|to|and|or|,|±|/)\s?(?={_NUMBER})")


@dataclass(frozen=True)
class Quantity:
    """One number of a text.

    Args:
        text: As written, with its unit.
        value: The number, in the base unit of its dimension where the unit is known.
        dimension: What it measures, or an empty string where no known unit follows.
    """

    text: str
    value: float
    dimension: str

    def agrees(self, other: Quantity) -> bool:
        """Whether two quantities state the same value; a missing unit on the other side does not agree."""
        if self.dimension != other.dimension:
            return False
        return isclose(self.value, other.value, rel_tol=1e-6, abs_tol=1e-12)


def quantities(text: str) -> list[Quantity]:
    """Quantities in a text; digits inside formulas, labels and citations such as ``[2]`` are none."""
    text = re.sub(r"\[\d+(?:[,-]\s?\d+)*\]", " ", readable(text))
    text = text.replace("µ", "μ").replace("° C", "°C").replace("o C", "°C")
    for material in find_materials(text):
        if not material.text.isdigit():
            text = text.replace(material.text, " " * len(material.text))
    found = []
    for match in _ONE.finditer(text):
        if match.end() < len(text) and re.match(r"[A-Za-z]", text[match.end()]) and not _TAIL.match(text, match.end()):
            continue  # 2D, 1T', 3d
        found.append(_quantity(match, _unit(text, match.end())))
    lower = text.lower()
    return found + [Quantity(w, float(n), "") for w, n in WORDS.items() if re.search(rf"\b{w}\b", lower)]


def unmatched(claim: str, source: str) -> list[str]:
    """Numbers of a claim that its source does not state with the same unit."""
    known = quantities(source)
    return [q.text for q in quantities(claim) if not any(q.agrees(k) for k in known)]


def _unit(text: str, at: int) -> str:
    """The unit after a number, or after the range that the number begins (``110-150 K``)."""
    for _ in range(4):
        if tail := _TAIL.match(text, at):
            return tail[1]
        joint = _RANGE.match(text, at)
        following = _ONE.match(text, joint.end()) if joint else None
        if following is None:
            return ""
        at = following.end()
    return ""


def _quantity(match: re.Match[str], unit: str) -> Quantity:
    value = float((match["number"] or "1").replace(",", ""))
    power = match["bare"] or match["power"] or match["exponent"]
    if power:
        value *= 10.0 ** max(-300, min(300, int(power)))
    if match["sign"] == "-":
        value = -value
    dimension, factor = UNITS.get(unit, ("", 1.0))
    return Quantity(f"{match[0]} {unit}".strip(), value * factor, dimension)
