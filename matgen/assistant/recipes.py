"""Synthesis by analogy: precursors, temperatures and times from recipes of similar targets.

For a target with source elements e (all but those that come with the air or leave with it), the probability that a
compound c supplies e is a kernel-weighted frequency over known recipes,

    p(c | e, target) = sum_r w_r [c supplies e in r] / sum_r w_r [e in r],   w_r = exp(SHARPNESS (cos(x, x_r) - 1)),

with composition vectors x. A precursor set is scored by the product over elements, times the weighted frequency of
its pairs occurring together. The idea that similar targets share precursors: He et al., Sci. Adv. 9, eadg8180 (2023).

Shapes: R recipes, Z elements.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice, product
from math import log
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.materials import ELEMENTS, amounts_of, is_formula
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AIR = frozenset({"O", "H", "C", "N"})
"""Elements that a recipe need not supply: they come with the atmosphere, or leave as gas."""
SHARPNESS = 12.0
CHOICES, COMBINATIONS = 6, 1500
"""Compounds considered for each element, and sets in all: targets of many elements get fewer compounds each."""
PAIR_WEIGHT = 0.5
UNLIKE = 0.05
"""Weight of recipes for oxides when the target has no oxygen, and the other way round: they start from other things."""
METALS = ELEMENTS - frozenset(re.findall("[A-Z][a-z]?", "HHeBCNOFNeSiPSClArGeAsSeBrKrSbTeIXeAtRn"))
_ORDER = {symbol: i for i, symbol in enumerate(sorted(ELEMENTS))}


@dataclass(frozen=True)
class Recipe:
    """A reported synthesis.

    Args:
        id: Identifier in its collection.
        doi: The paper.
        target: Formula of the product.
        precursors: Formulas of the starting materials, sorted.
        heating: Temperatures in °C and times in h of the heating steps.
    """

    id: str
    doi: str
    target: str
    precursors: tuple[str, ...]
    heating: tuple[tuple[float | None, float | None], ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """A precursor set with the recipes that speak for it.

    Args:
        precursors: Formulas, sorted.
        score: Log of the kernel-weighted probability.
        analogues: Recipes of the most similar targets that share most precursors, best first.
    """

    precursors: tuple[str, ...]
    score: float
    analogues: tuple[Recipe, ...]


class Recipes:
    """A searchable collection of recipes.

    Args:
        recipes: Those with a target that is no formula are left out.
    """

    def __init__(self, recipes: Iterable[Recipe]) -> None:
        parsed = [(r, composition(r.target)) for r in recipes]
        self.recipes = [r for r, c in parsed if c]
        self.compositions = [c for _, c in parsed if c]

    @classmethod
    def read(cls, *paths: str | Path) -> Recipes:
        """Read JSON lines with ``target`` or ``targets``, ``precursors``, ``operations``, ``doi`` and ``id``."""
        found = cls(recipe for path in paths for recipe in _recipes_of(Path(path)))
        if not found.recipes:
            raise DataError("no recipe has a target with fixed amounts.", where=", ".join(map(str, paths)))
        return found

    @cached_property
    def vectors(self) -> np.ndarray:
        """(R, Z) unit composition vectors."""
        return np.stack([_vector(c) for c in self.compositions])

    @cached_property
    def _oxygen(self) -> np.ndarray:
        """(R,) whether a recipe's target contains oxygen."""
        return np.array(["O" in c for c in self.compositions])

    @cached_property
    def _suppliers(self) -> dict[str, tuple[np.ndarray, np.ndarray, list[str]]]:
        """For each element: rows of recipes whose target has it, codes of the compounds that supply it, their names."""
        table: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for row, (recipe, known) in enumerate(zip(self.recipes, self.compositions, strict=True)):
            for compound in recipe.precursors:
                for element in sources(known) & set(composition(compound) or {}):
                    table[element].append((row, compound))
        coded = {}
        for element, pairs in table.items():
            names, codes = np.unique([compound for _, compound in pairs], return_inverse=True)
            coded[element] = (np.array([row for row, _ in pairs]), codes, list(map(str, names)))
        return coded

    def weights(self, target: str) -> np.ndarray:
        """(R,) kernel weights of the recipes for a target."""
        known = composition(target)
        if not known:
            raise DataError(f"{target!r} is no formula.", where="target", fix="Write it like BaTiO3.")
        kernel = np.exp(SHARPNESS * (self.vectors @ _vector(known) - 1.0))
        return np.where(self._oxygen == ("O" in known), kernel, UNLIKE * kernel)

    def similar(self, target: str, k: int = 5) -> list[Recipe]:
        """Recipes of the most similar targets, best first."""
        return [self.recipes[i] for i in np.argsort(-self.weights(target), kind="stable")[:k]]

    def suggest(self, target: str, k: int = 5) -> list[Suggestion]:
        """The ``k`` most probable precursor sets; empty where an element has no known supplier."""
        weights = self.weights(target)
        needed = sorted(sources(composition(target) or {}))
        most = min(CHOICES, max(2, int(COMBINATIONS ** (1.0 / max(1, len(needed))))))
        alien = METALS - set(needed)
        choices = [self._choices(element, weights, alien)[:most] for element in needed]
        if not needed or not all(choices):
            return []
        pairs = self._pairs(weights, {c for options in choices for c, _ in options})
        scored: dict[tuple[str, ...], float] = {}
        for combination in product(*choices):
            chosen = tuple(sorted({compound for compound, _ in combination}))
            score = sum(log(p) for _, p in combination) + PAIR_WEIGHT * _togetherness(chosen, pairs)
            scored[chosen] = max(score, scored.get(chosen, -np.inf))
        best = sorted(scored, key=lambda s: (-scored[s], s))[:k]
        return [Suggestion(s, scored[s], tuple(self._analogues(s, weights))) for s in best]

    def _choices(self, element: str, weights: np.ndarray, alien: frozenset[str]) -> list[tuple[str, float]]:
        """Compounds that supply an element, and their shares; none that would bring a metal that is not wanted."""
        if element not in self._suppliers:
            return []
        rows, codes, names = self._suppliers[element]
        totals = np.bincount(codes, weights=weights[rows])
        order = (i for i in np.argsort(-totals, kind="stable") if totals[i] > 0)
        best = list(islice((i for i in order if not alien & _elements(names[i])), CHOICES))
        return [(names[i], float(totals[i] / totals.sum())) for i in best]

    def _pairs(self, weights: np.ndarray, compounds: set[str]) -> dict[tuple[str, str], float]:
        """Weighted frequency of two compounds in one recipe, given the rarer of the two."""
        single: Counter[str] = Counter()
        both: Counter[tuple[str, str]] = Counter()
        for row in np.argsort(-weights)[:1000]:
            used = [c for c in self.recipes[row].precursors if c in compounds]
            for i, a in enumerate(used):
                single[a] += weights[row]
                for b in used[i + 1 :]:
                    both[a, b] += weights[row]
        return {(a, b): value / min(single[a], single[b]) for (a, b), value in both.items()}

    def _analogues(self, precursors: Sequence[str], weights: np.ndarray, k: int = 3) -> list[Recipe]:
        """Recipes of similar targets that share precursors and need few others; one a composition, plainest first."""
        wanted = set(precursors)

        def near(row: int) -> float:
            used = set(self.recipes[row].precursors)
            return round(float(weights[row]) * len(wanted & used) / max(1, len(wanted | used)), 6)

        nearest = map(int, np.argsort(-weights, kind="stable")[:200])
        found: dict[bytes, Recipe] = {}
        for i in sorted(nearest, key=lambda i: (-near(i), len(self.recipes[i].target))):
            if near(i) > 0:
                found.setdefault(np.round(self.vectors[i], 3).tobytes(), self.recipes[i])
        return list(found.values())[:k]


def holds_recipes(path: Path) -> bool:
    """Whether the first line of a file is a recipe: an object with precursors and a target."""
    if ".jsonl" not in {s.lower() for s in path.suffixes}:
        return False
    try:
        with _opened(path) as file:
            row = json.loads(next(filter(str.strip, file), "null"))
    except (OSError, ValueError, EOFError):  # whoever reads it as documents says what is wrong with it
        return False
    return isinstance(row, dict) and "precursors" in row and bool({"target", "targets", "targets_string"} & set(row))


def _recipes_of(path: Path) -> list[Recipe]:
    try:
        with _opened(path) as file:
            return [from_record(json.loads(line)) for line in file if line.strip()]
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        fix = 'Write one object a line, such as {"id": "1", "target": "BaTiO3", "precursors": ["BaCO3", "TiO2"]}.'
        raise DataError(f"no readable recipes ({type(error).__name__}: {error}).", where=str(path), fix=fix) from error


def _opened(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def conditions(recipes: Sequence[Recipe]) -> tuple[float | None, float | None]:
    """Median of the highest heating temperature (°C) and of its time (h) over recipes; None where not reported."""
    hottest = [max((h for h in r.heating if h[0] is not None), default=None, key=_temperature) for r in recipes]
    temperatures = [h[0] for h in hottest if h is not None and h[0] is not None]
    times = [h[1] for h in hottest if h is not None and h[1] is not None]
    return (median(temperatures) if temperatures else None, median(times) if times else None)


def from_record(row: dict[str, Any]) -> Recipe:
    """A recipe from one JSON object.

    Materials are formulas, or objects with ``material_formula`` as in the collection of Kononova et al.,
    Sci. Data 6, 203 (2019), whose operations keep ``heating_temperature`` and ``heating_time`` under ``conditions``.
    """
    targets = [_formula(row.get("target", "")), *(row.get("targets") or row.get("targets_string") or ())]
    target = next((t for t in targets if composition(t)), str(targets[0]))
    precursors = tuple(sorted({plain_formula(_formula(p)) for p in row["precursors"]}))
    heating = tuple(_heating(op) for op in row.get("operations") or () if op.get("type") == "HeatingOperation")
    doi = str(row.get("doi") or "")
    return Recipe(str(row.get("id") or doi), doi, plain_formula(str(target)), precursors, heating)


def _formula(material: str | dict[str, Any]) -> str:
    return str(material["material_formula"] if isinstance(material, dict) else material)


def composition(formula: str) -> dict[str, float] | None:
    """Amounts by element, or None for text that is no formula with fixed amounts."""
    plain = plain_formula(formula)
    amounts = amounts_of(plain) if is_formula(plain) else None
    if not amounts or any(a is None or a <= 0 for a in amounts.values()):
        return None
    return {symbol: float(a) for symbol, a in amounts.items() if a is not None}


@lru_cache(maxsize=20_000)
def _elements(formula: str) -> frozenset[str]:
    return frozenset(composition(formula) or ())


def sources(known: dict[str, float]) -> set[str]:
    """Elements of a target that its precursors must bring."""
    return set(known) - AIR or set(known)


def plain_formula(formula: str) -> str:
    """A formula without water of crystallisation, dopants after a colon, names, and prefixes of polymorphs."""
    host = re.split(r"[:·*⋅]", formula)[0]
    host = re.sub(r"(\d+)/(\d+)", lambda m: f"{int(m[1]) / max(1, int(m[2])):.4g}", host)
    words = [re.sub(r"^[α-ω]'?-", "", word) for word in host.split()]
    return next((w for w in words if len(words) > 1 and is_formula(w)), "".join(words))


def _vector(known: dict[str, float]) -> np.ndarray:
    vector = np.zeros(len(_ORDER), dtype=np.float32)
    for symbol, amount in known.items():
        # Oxygen is in almost every target and says little about which precursors were used.
        vector[_ORDER[symbol]] = amount * (0.3 if symbol in AIR else 1.0)
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _togetherness(chosen: Sequence[str], pairs: dict[tuple[str, str], float]) -> float:
    found = [
        log(max(pairs.get((a, b), pairs.get((b, a), 0.0)), 0.01)) for i, a in enumerate(chosen) for b in chosen[i + 1 :]
    ]
    return sum(found) / len(found) if found else 0.0


def _heating(operation: dict[str, Any]) -> tuple[float | None, float | None]:
    conditions = operation.get("conditions") or {}

    def highest(name: str, scale: dict[str, float], shift: dict[str, float]) -> float | None:
        found = [
            value * scale.get(entry.get("units", ""), 1.0) + shift.get(entry.get("units", ""), 0.0)
            for entry in operation.get(name) or conditions.get(f"heating_{name}") or ()
            for value in entry.get("values") or ()
        ]
        return max(found) if found else None

    return highest("temperature", {}, {"K": -273.15}), highest("time", {"min": 1 / 60, "d": 24.0, "s": 1 / 3600}, {})


def _temperature(heating: tuple[float | None, float | None]) -> float:
    return heating[0] if heating[0] is not None else -273.15
