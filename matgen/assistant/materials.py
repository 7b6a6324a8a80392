"""Materials in text: formulas, names and abbreviations, brought to one spelling and to their chemical system."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from math import gcd
from typing import TYPE_CHECKING, Any

from ase.data import atomic_names, chemical_symbols

from matgen.assistant.notation import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

ELEMENTS = frozenset(chemical_symbols[1:104]) - {"No"}
_SYMBOL = "|".join(sorted(ELEMENTS, key=lambda s: (-len(s), s)))
_AMOUNT = r"(?:\d+(?:\.\d+)?|\.\d+)?(?:[-+±]?(?:\d*[xyzδ](?![a-z])|\d+(?:\.\d+)?(?=[-+]?[xyzδ])))*(?:[-+±]δ)?"
_UNIT = rf"(?:(?:{_SYMBOL}){_AMOUNT})"
_GROUP = rf"(?:[(\[]{_UNIT}(?:,?{_UNIT})*[)\]]{_AMOUNT})"
_FORMULA = re.compile(rf"(?<![A-Za-z0-9_.]){_GROUP}*{_UNIT}(?:{_UNIT}|{_GROUP})*(?![A-Za-z]|\.\d|\d)")
_PIECE = re.compile(rf"([(\[])|([)\]])({_AMOUNT})|({_SYMBOL})({_AMOUNT})|,")


@dataclass(frozen=True)
class Material:
    """One material named in a text.

    Args:
        text: As written.
        formula: Reduced formula in alphabetical order, or an empty string where amounts are variable.
        system: Its elements, sorted and joined by hyphens.
        spelled: The formula as chemists write it; of a name, the one that it stands for.
    """

    text: str
    formula: str
    system: str
    spelled: str


@cache
def _table() -> dict[str, Any]:
    path = resources.files("matgen.assistant").joinpath("data", "materials.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def parse_formula(text: str) -> Material | None:
    """The material that a formula stands for, or None where the text is no formula of at least two elements."""
    match = _FORMULA.fullmatch(text)
    if match is None:
        return None
    amounts = amounts_of(text)
    if amounts is None or len(amounts) < 2:
        return None
    if text.isalpha() and text.isupper() and text not in _table()["capitals"]:
        return None  # UV, SOC, BCS and their kind are abbreviations
    return Material(text, _reduced(amounts), "-".join(sorted(amounts)), text)


def is_formula(text: str) -> bool:
    """Whether a text consists of element symbols, amounts and brackets only."""
    return bool(text) and not _PIECE.sub("", text)


def find_materials(text: str) -> list[Material]:
    """Materials in a text (in any notation), each once, in order of appearance."""
    return list(_find(readable(text)))


@lru_cache(maxsize=8192)
def _find(text: str) -> tuple[Material, ...]:
    found: dict[tuple[str, str], tuple[int, Material]] = {}

    def enter(position: int, material: Material | None) -> None:
        if material is not None:
            found.setdefault((material.formula, material.system), (position, material))

    for match in _FORMULA.finditer(text):
        enter(match.start(), parse_formula(match[0]))
    for match in re.finditer(r"\b[A-Za-z]?-?[A-Z]{2,}[A-Za-z0-9]*\b", text):
        if (formula := _table()["abbreviations"].get(match[0])) is not None:
            enter(match.start(), _named(match[0], formula))
    for position, name, formula in _names(text):
        enter(position, _named(name, formula))
    return tuple(material for _, material in sorted(found.values(), key=lambda item: item[0]))


def systems(text: str) -> list[str]:
    """Chemical systems spelled out with hyphens or dashes, for example ``Li-P-S``, sorted inside."""
    found = re.findall(rf"(?<![\w-])(?:{_SYMBOL})(?:-(?:{_SYMBOL}))+(?![\w-])", readable(text))
    return ["-".join(sorted(set(item.split("-")))) for item in dict.fromkeys(found)]


def _named(text: str, formula: str) -> Material | None:
    amounts = amounts_of(formula)
    return Material(text, _reduced(amounts), "-".join(sorted(amounts)), formula) if amounts else None


_WORD = re.compile(r"[A-Za-z]+")


def _names(text: str) -> Iterator[tuple[int, str, str]]:
    """Position, name and formula of the names in a text: of up to four words, the longest first."""
    words = [(m.start(), m.end(), m[0].lower()) for m in _WORD.finditer(text)]
    ends = [i for i, (_, _, word) in enumerate(words) if word in _last()]
    starts = sorted({i - n for i in ends for n in range(min(4, i + 1))})  # elsewhere no name can begin
    free = 0
    for at in starts:
        for last in (i for i in range(min(at + 3, len(words) - 1), at - 1, -1) if words[i][2] in _last()):
            formula = _formula_of_name(" ".join(w for _, _, w in words[at : last + 1])) if at >= free else None
            if formula:
                yield words[at][0], text[words[at][0] : words[last][1]], formula
                free = last + 1
                break


@cache
def _last() -> frozenset[str]:
    """Words that end a name."""
    anions = list(_table()["anions"])
    return frozenset([name.split()[-1] for name in _table()["names"]] + anions + [f"{a}s" for a in anions])


@cache
def element_names() -> dict[str, str]:
    """Symbol by lower-case English name, British spellings included."""
    names = {atomic_names[z].lower(): chemical_symbols[z] for z in range(1, 104)}
    return names | {"aluminium": "Al", "caesium": "Cs", "sulphur": "S", "tungsten": "W"}


@cache
def _formula_of_name(name: str) -> str | None:
    """Formula of a trivial or systematic name; the charge of the cation decides the amounts."""
    table = _table()
    if name in table["names"]:
        return str(table["names"][name])
    cation, _, anion = name.rstrip("s").rpartition(" ") if not name.endswith("ss") else name.rpartition(" ")
    symbol = element_names().get(cation)
    if symbol is None or anion not in table["anions"] or symbol not in table["charges"]:
        return None
    group, charge = table["anions"][anion]
    common = gcd(table["charges"][symbol], charge)
    n, m = charge // common, table["charges"][symbol] // common
    return f"{symbol}{n if n > 1 else ''}({group}){m}" if m > 1 else f"{symbol}{n if n > 1 else ''}{group}"


def amounts_of(formula: str) -> dict[str, float | None] | None:
    """Amount by element; None stands for a variable amount. None for unbalanced brackets."""
    stack: list[dict[str, float | None]] = [{}]
    for match in _PIECE.finditer(formula):
        opened, closed, times, symbol, amount = match.groups()
        if opened:
            stack.append({})
        elif closed:
            if len(stack) == 1:
                return None
            _merge(stack[-2], stack.pop(), _number(times))
        elif symbol:
            _merge(stack[-1], {symbol: 1.0}, _number(amount))
    return stack[0] if len(stack) == 1 and stack[0] else None


def _merge(into: dict[str, float | None], part: dict[str, float | None], times: float | None) -> None:
    for symbol, amount in part.items():
        known = into.get(symbol, 0.0)
        product = None if amount is None or times is None else amount * times
        into[symbol] = None if known is None or product is None else known + product


def _number(text: str) -> float | None:
    if not text:
        return 1.0
    try:
        return float(text)
    except ValueError:
        return None  # x, 1-x, 7-δ


def _reduced(amounts: dict[str, float | None]) -> str:
    values = {symbol: amount for symbol, amount in amounts.items() if amount is not None}
    if len(values) < len(amounts) or not all(values.values()):
        return ""
    if all(abs(v - round(v)) < 1e-6 for v in values.values()):
        divisor = gcd(*(round(v) for v in values.values()))
        values = {symbol: v / divisor for symbol, v in values.items()}
    return "".join(f"{s}{'' if values[s] == 1 else f'{values[s]:.4g}'}" for s in sorted(values))
