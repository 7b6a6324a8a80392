"""A wish in plain words turned into a typed request and constraints, for the user to confirm before anything runs.

Every rule takes the words that it has read out of the text, so that what is left over can be named: nothing that a user
asks for is dropped in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from matgen.assistant.materials import ELEMENTS, element_names, find_materials, systems
from matgen.assistant.notation import readable
from matgen.data.request import Request
from matgen.errors import ConfigError

ANIONS = {
    "oxide": "O", "nitride": "N", "sulfide": "S", "sulphide": "S", "selenide": "Se", "telluride": "Te", "fluoride": "F",
    "chloride": "Cl", "bromide": "Br", "iodide": "I", "carbide": "C", "phosphide": "P", "arsenide": "As",
    "antimonide": "Sb", "boride": "B", "silicide": "Si", "germanide": "Ge", "hydride": "H",
}  # fmt: skip
PROTOTYPES = {
    "double perovskite": ("ABC2D6", 0), "half-heusler": ("ABC", 216), "half heusler": ("ABC", 216),
    "heusler": ("ABC2", 225),
    "anti-perovskite": ("ABC3", 0), "antiperovskite": ("ABC3", 0), "perovskite": ("ABC3", 0), "spinel": ("AB2C4", 0),
    "pyrochlore": ("A2B2C7", 0), "delafossite": ("ABC2", 0), "chalcopyrite": ("ABC2", 122), "zincblende": ("AB", 216),
    "zinc blende": ("AB", 216), "wurtzite": ("AB", 186), "rock salt": ("AB", 225), "rocksalt": ("AB", 225),
    "fluorite": ("AB2", 225), "rutile": ("AB2", 136),
}  # fmt: skip
"""Ratios of a structure type, and its space group where the type has one only."""
ALSO_MATERIALS = ("rock salt", "fluorite", "rutile", "chalcopyrite")
"""Names that mean a compound unless the text speaks of the type, the structure or another compound of that kind."""
GROUPS = {
    "rare[- ]earths?": "rare_earth", "lanthanides?|lanthanoids?": "lanthanoid", "actinides?|actinoids?": "actinoid",
    "(?:precious|noble) metals?": "precious", "halogens?|halides?": "halogen", "alkali metals?": "alkali",
    "transition metals?": "transition_metal", "toxic": "toxic", "radioactive": "radioactive", "rare": "rare",
}  # fmt: skip
SYSTEMS = ("cubic", "tetragonal", "orthorhombic", "hexagonal", "trigonal", "monoclinic", "triclinic")
KINDS = {"elemental": 1, "binary": 2, "ternary": 3, "quaternary": 4, "quinary": 5}
NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
NUMBERS |= {"nine": 9, "ten": 10, "twelve": 12, "dozen": 12, "twenty": 20, "fifty": 50, "hundred": 100}
_NOUN = r"(?:structures?|candidates?|crystals?|materials?|compounds?|samples?|phases?|semiconductors?|insulators?)"
_VERB = re.compile(
    r"\b(?:generate|propose|design|sample|suggest|create|give me|find me|find|i want|i need|i would like|make|draw)\b",
    re.IGNORECASE,
)
_THING = re.compile(
    rf"\b(?:{_NOUN}|{'|'.join(PROTOTYPES)}|(?:{'|'.join(ANIONS)}))s?\b|\bin the [A-Za-z-]+ system\b", re.IGNORECASE
)
_VALUE, _ENERGY = r"(-?\d+(?:\.\d+)?)", r"\s*(meV|eV)(?:\s*(?:/|per )\s*atom)?"
_NEAR = r"\s*(?:of|=|is|around|near|about|close to|:|approximately|~|≈)*\s*(?:of |about )?"
_BELOW, _ABOVE = "below|under|less than|at most", "above|over|more than|at least"
_TARGETS: tuple[tuple[str, str, str], ...] = (
    ("band_gap", r"(?:band[ -]?)?gap", _ENERGY),
    ("e_above_hull", r"(?:energy )?above (?:the )?(?:convex )?hull", _ENERGY),
    ("e_form", r"formation energy", _ENERGY),
    ("density", r"density", r"\s*(g)\s*(?:/\s*cm\^?3|cm\^?-3)"),
)
FILLER = frozenset(
    re.findall(
        r"\w+",
        """a an the and or with of for in that which is are be it its has have having as to me please new novel unknown
        different some any good system space group type structure structures crystal crystals material materials
        compound compounds candidate candidates sample samples phase phases cell unit primitive per atom atoms ev mev by
        at from should must could can would like want need i we around near about made based on containing only
        consisting semiconductor semiconductors insulator insulators there also but then all each inorganic solid not
        contain within""",
    )
)
"""Words that ask for nothing in particular."""
LATER = {
    "stable": "stability is judged after sampling, by relaxation and the hull",
    "metastable": "stability is judged after sampling, by relaxation and the hull",
    "synthesizable": "see the synthesis section of 'matgen explain' for candidates of a run",
    "synthesisable": "see the synthesis section of 'matgen explain' for candidates of a run",
}


@dataclass(frozen=True)
class Wish:
    """What was understood.

    Args:
        request: For the generator.
        constraints: As a workflow spells them.
        notes: What is done differently from the words, or later.
        unread: Words that no rule understood.
    """

    request: Request
    constraints: tuple[dict[str, dict[str, Any]], ...] = ()
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def is_wish(text: str) -> bool:
    """Whether a text asks for structures to be generated: with a verb, or as a bare ``a cubic oxide with ...``."""
    if "?" in text or "candidates of" in text or _THING.search(text) is None:
        return False
    return _VERB.search(text) is not None or re.match(r"\W*(?:an?|some|\d+) ", text, re.IGNORECASE) is not None


def parse_wish(text: str) -> Wish:
    """The request and the constraints that a text asks for.

    Raises:
        ConfigError: Nothing but the wish to generate was understood, or the parts exclude each other.
    """
    left = _Text(readable(text))
    left.take(_VERB.pattern)
    wanted: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    exclude = _without(left)
    target = _targets(left, wanted, notes)
    group, atoms = _symmetry(left, wanted), _atoms(left, wanted)
    prototype = _prototype(left, wanted)
    _elements_count(left, wanted)
    count = _count(left)
    formula, system = _composition(left, text)
    include = _with(left) if not formula and not system else ()
    _restrict(wanted, include, exclude)
    notes += [f"{word}: {what}" for word, what in LATER.items() if left.take(rf"\b{word}\b")]
    request = Request(count or 1, formula, system, atoms, group or prototype, target)
    if not (request.given or wanted) and (count is None or notes):
        fix = "; ".join(notes) or "Say for example: 20 lead-free cubic perovskite oxides with a band gap of 2 eV."
        raise ConfigError("no composition, size, symmetry or property was understood.", where=text[:80], fix=fix)
    if "elements" in wanted:
        notes.append("toxic, radioactive and rare elements stay out too, except those named")
    return Wish(request, tuple({k: v} for k, v in wanted.items()), tuple(notes), left.words())


class _Text:
    """A text from which rules take what they have read."""

    def __init__(self, text: str) -> None:
        self.text = text

    def take(self, pattern: str) -> re.Match[str] | None:
        """The first match, which leaves the text; case does not count."""
        match = re.search(pattern, self.text, re.IGNORECASE)
        if match:
            self.text = f"{self.text[: match.start()]} , {self.text[match.end() :]}"
        return match

    def words(self) -> tuple[str, ...]:
        """Words left over that would mean something."""
        found = re.findall(r"[A-Za-z][\w+-]*", self.text)
        return tuple(dict.fromkeys(w for w in found if w.lower() not in FILLER and w.lower() not in NUMBERS))


@cache
def _listing() -> str:
    """Pattern of element names, symbols and groups joined by commas, "and", "or" or "nor"."""
    names = "|".join(sorted(element_names(), key=len, reverse=True))
    symbols = "|".join(sorted(ELEMENTS, key=len, reverse=True))
    one = rf"(?:(?:{'|'.join(GROUPS)})(?: elements?| metals?)?|{names}|(?-i:{symbols}))(?![A-Za-z])"
    return rf"({one}(?:(?:,? (?:and |or |nor )?(?:no |any )?|/){one})*)"


def _named(text: str) -> list[str]:
    """Symbols and group names in a list of elements."""
    groups = [name for pattern, name in GROUPS.items() if re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE)]
    groups = [g for g in groups if g != "rare" or "rare_earth" not in groups]
    bare = re.sub("|".join(GROUPS), " ", text, flags=re.IGNORECASE)
    names = element_names()
    words = re.findall(r"[A-Za-z]+", bare)
    return groups + [w if w in ELEMENTS else names[w.lower()] for w in words if w in ELEMENTS or w.lower() in names]


def _without(left: _Text) -> tuple[str, ...]:
    found: list[str] = []
    if left.take(r"\bnon-?\s?toxic\b|\bharmless\b"):
        found.append("toxic")
    if left.take(r"\bnon-?\s?radioactive\b"):
        found.append("radioactive")
    before = (
        r"\b(?:without|no|not contain(?:ing)?|does not contain|free (?:of|from)|exclud\w+|lack\w*|avoid\w*) (?:any )?"
    )
    while match := left.take(before + _listing()):
        found += _named(match[1])
    while match := left.take(rf"\b{_listing()}-free\b"):
        found += _named(match[1])
    return tuple(dict.fromkeys(found))


def _with(left: _Text) -> tuple[str, ...]:
    """Elements that must occur: named after "containing", before "-based", by an anion's name, or bare."""
    found: list[str] = []
    while match := left.take(rf"\b{_listing()}[- ](?:containing|based|bearing|rich)\b"):
        found += _named(match[1])
    while match := left.take(
        rf"\b(?:contain(?:s|ing)?|with|includ\w+|based on|made of|of|from) (?:both )?{_listing()}"
    ):
        found += _named(match[1])
    while match := left.take(rf"\b({'|'.join(ANIONS)})s?\b"):
        found.append(ANIONS[match[1].lower()])
    while match := left.take(rf"\b({'|'.join(element_names())})\b"):
        found += _named(match[1])
    return tuple(dict.fromkeys(s for s in found if s in ELEMENTS))


def _restrict(wanted: dict[str, dict[str, Any]], include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    if both := sorted(set(include) & set(exclude)):
        raise ConfigError(f"{', '.join(both)} is both wanted and unwanted.", where="wish", fix="Decide for one.")
    if include:
        wanted["required_elements"] = {"required": list(include)}
    if exclude:
        # the constraint leaves toxic, radioactive and rare elements out of itself, except those that are asked for
        wanted["elements"] = {"forbidden": list(exclude)} | ({"allow": list(include)} if include else {})


def _targets(left: _Text, wanted: dict[str, dict[str, Any]], notes: list[str]) -> dict[str, float]:
    target: dict[str, float] = {}
    for name, words, unit in _TARGETS:
        joined = rf"{_VALUE}(?:{unit})?\s*(?:and|to|-)\s*{_VALUE}{unit}"
        between = left.take(rf"\b{words}\s*(?:of|is|in the range|from)?\s*(?:between )?{joined}")
        if between:
            low, high = _scaled(between[1], between[2] or between[4]), _scaled(between[3], between[4])
            _ranged(name, low, high, target, wanted, notes)
            continue
        limit = left.take(rf"\b{words}\s*(?:of|is|be|that is)?\s*({_BELOW}|{_ABOVE}) {_VALUE}{unit}")
        if limit:
            value, below = _scaled(limit[2], limit[3]), re.fullmatch(_BELOW, limit[1], re.IGNORECASE) is not None
            _limited(name, value, below, wanted, notes)
            continue
        match = left.take(rf"\b{words}{_NEAR}{_VALUE}{unit}") or left.take(rf"{_VALUE}{unit}\s*{words}\b")
        if match:
            target[name] = _scaled(match[1], match[2])
    return target


def _ranged(
    name: str, low: float, high: float, target: dict[str, float], wanted: dict[str, dict[str, Any]], notes: list[str]
) -> None:
    if name == "density":
        wanted["density"] = {"low": low, "high": high}
        return
    target[name] = round((low + high) / 2, 6)
    notes.append(f"{name}: the middle of {low:g} to {high:g} is aimed at")


def _limited(name: str, value: float, below: bool, wanted: dict[str, dict[str, Any]], notes: list[str]) -> None:
    if name == "density":
        wanted["density"] = {"high" if below else "low": value}
        return
    word = "below" if below else "above"
    notes.append(f"{name} {word} {value:g}: no generator takes a limit; predict and filter afterwards")


def _symmetry(left: _Text, wanted: dict[str, dict[str, Any]]) -> int | None:
    if match := left.take(rf"\b({'|'.join(SYSTEMS)})\b"):
        wanted["crystal_system"] = {"systems": [match[1].lower()], "roles": ["check"]}
    if match := left.take(r"\bspace ?group\s*(?:number|no\.?|=)?\s*(\d+)"):
        return int(match[1])
    if match := left.take(r"\bspace ?group\s+([PIFRABC][-\w/]+)"):
        return _number_of(match[1])
    return None


def _number_of(symbol: str) -> int:
    from pymatgen.symmetry.groups import SpaceGroup

    try:
        return int(SpaceGroup(symbol).int_number)
    except ValueError as error:
        raise ConfigError(f"{symbol!r} is no space group.", where="wish", fix="Write it like Pm-3m, or 221.") from error


def _atoms(left: _Text, wanted: dict[str, dict[str, Any]]) -> int | None:
    cell = r" atoms?(?: (?:in|per) (?:the |a )?(?:primitive |unit )*cell)?"
    if match := left.take(rf"\b(?:between )?(\d+) (?:and|to) (\d+){cell}"):
        wanted["n_atoms"] = {"low": int(match[1]), "high": int(match[2])}
    elif match := left.take(rf"\b(?:at most|up to|no more than|not more than|fewer than) (\d+){cell}"):
        wanted["n_atoms"] = {"high": int(match[1]) - ("fewer" in match[0].lower())}
    elif match := left.take(rf"\b(?:at least|more than) (\d+){cell}"):
        wanted["n_atoms"] = {"low": int(match[1]) + ("more" in match[0].lower())}
    elif match := left.take(rf"\b(\d+){cell}"):
        return int(match[1])
    return None


def _prototype(left: _Text, wanted: dict[str, dict[str, Any]]) -> int | None:
    if match := left.take(r"\b(?-i:A\d?B\d?[XO]\d?)\b"):
        wanted["anonymous_formula"] = {"formula": re.sub("[XO]", "C", match[0])}
        left.text += " oxide" if "O" in match[0] else ""
        return None
    for name, (formula, group) in PROTOTYPES.items():
        kind = rf"(?=[- ](?:type|structure|structured|{'|'.join(ANIONS)}))" if name in ALSO_MATERIALS else ""
        if left.take(rf"\b{name}s?{kind}\b" if not kind else rf"\b{name}{kind}"):
            wanted["anonymous_formula"] = {"formula": formula}
            return group or None
    return None


def _elements_count(left: _Text, wanted: dict[str, dict[str, Any]]) -> None:
    if match := left.take(rf"\b({'|'.join(KINDS)})s?\b"):
        wanted["n_elements"] = {"low": KINDS[match[1].lower()], "high": KINDS[match[1].lower()]}
    elif match := left.take(
        r"\b(\d+|two|three|four|five) (?:to|or|-) (\d+|three|four|five|six) (?:different )?elements\b"
    ):
        wanted["n_elements"] = {"low": _integer(match[1]), "high": _integer(match[2])}
    elif match := left.take(
        r"\b(?:at most|up to|no more than) (\d+|two|three|four|five|six) (?:different )?elements\b"
    ):
        wanted["n_elements"] = {"high": _integer(match[1])}
    if left.take(r"\b(?:cheap|inexpensive|low[- ]cost|affordable)\b"):
        wanted["price"] = {}
    if left.take(r"\bearth[- ]abundant(?: elements)?\b|\babundant(?: elements)?\b"):
        wanted["crustal_abundance"] = {}
    if left.take(r"\bcharge[- ](?:neutral|balanced)\b"):
        wanted["charge_neutral"] = {}


def _count(left: _Text) -> int | None:
    words = "|".join(w for w in NUMBERS if w not in {"a", "an", "one"})
    thing = rf"(?:[\w-]+ ){{0,6}}?(?:{_NOUN}|{'|'.join(ANIONS)})s?\b"
    match = left.take(rf"\b(\d+|{words})(?= {thing}|s?\s*,)") or left.take(rf"^\W*(\d+|{words})\b")
    return _integer(match[1]) if match else None


def _composition(left: _Text, text: str) -> tuple[str | None, str | None]:
    """Formula or chemical system, if either is named."""
    spelled = systems(left.text)
    named = [m for m in find_materials(left.text) if m.formula]
    if len(spelled) > 1 or (len(named) > 1 and not spelled):
        raise ConfigError("several compositions are named.", where=text[:80], fix="Ask for one at a time.")
    if spelled:
        left.take(r"\b(?:in the )?[A-Z][a-z]?(?:-[A-Z][a-z]?)+\b(?: system)?")
        return None, spelled[0]
    if named:
        left.take(re.escape(named[0].text))
        return named[0].spelled, None
    return None, None


def _integer(text: str) -> int:
    return int(text) if text.isdigit() else NUMBERS[text.lower()]


def _scaled(value: str, unit: str | None) -> float:
    return float(value) * (1e-3 if (unit or "").lower() == "mev" else 1.0)


def spelled_out(wish: Wish) -> str:
    """A wish in words, so that a user sees what was understood, and what was not."""
    request = wish.request
    parts = [
        f"{f.name.replace('_', ' ')} {getattr(request, f.name)}" for f in fields(request) if f.name in request.given
    ]
    for spec in wish.constraints:
        (name, settings) = next(iter(spec.items()))
        shown = ", ".join(f"{k} {_plain(v)}" for k, v in settings.items() if k != "roles")
        parts.append(f"constraint {name}{f' ({shown})' if shown else ''}")
    text = f"{request.n} structure{'s' if request.n > 1 else ''}" + (f" with {'; '.join(parts)}" if parts else "")
    if wish.notes:
        text += f". Note: {'; '.join(wish.notes)}"
    return text + (f". Not understood: {', '.join(wish.unread)}" if wish.unread else "")


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
