"""Sentences that describe a crystal, composed at random from its own data, to train a condition in words on.

Every fact is read from the structure or its row; which facts are told, and in what words, is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymatgen.core import Element
from pymatgen.symmetry.groups import sg_symbol_from_int_number

from matgen.data.symmetry import LAST_OF_SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from pymatgen.core import Structure

ANIONS = {
    "O": "oxide", "N": "nitride", "S": "sulfide", "Se": "selenide", "Te": "telluride", "F": "fluoride",
    "Cl": "chloride", "Br": "bromide", "I": "iodide", "C": "carbide", "P": "phosphide", "As": "arsenide",
    "Sb": "antimonide", "B": "boride", "Si": "silicide", "Ge": "germanide", "H": "hydride",
}  # fmt: skip
COUNTS = {1: "elemental", 2: "binary", 3: "ternary", 4: "quaternary", 5: "quinary"}
TYPES = {
    ("ABC3", 221): "perovskite", ("AB2C4", 227): "spinel", ("AB", 225): "rock salt", ("AB", 216): "zincblende",
    ("AB", 186): "wurtzite", ("AB", 221): "caesium chloride type", ("AB", 194): "nickel arsenide type",
    ("AB2", 225): "fluorite type", ("AB2", 136): "rutile type", ("ABC", 216): "half-Heusler", ("ABC2", 225): "Heusler",
    ("ABC2D6", 225): "double perovskite", ("A2B2C7", 227): "pyrochlore", ("ABC2", 122): "chalcopyrite",
    ("ABC2", 166): "delafossite type", ("AB2", 227): "Laves phase",
}  # fmt: skip
"""Structure types by ratios and space group, where these two say nearly always which it is."""

FAMILIES: dict[str, Callable[[Any], bool]] = {
    "rare-earth": lambda element: element.is_rare_earth,
    "transition-metal": lambda element: element.is_transition_metal,
    "alkali": lambda element: element.is_alkali,
    "alkaline-earth": lambda element: element.is_alkaline,
    "actinide": lambda element: element.is_actinoid,
}
LIGHT, DENSE = 3.0, 8.0
"""g/cm³ below and above which a crystal is called light or dense: the outer thirds of inorganic crystals."""

TOLD = 0.5
"""Share of the facts that a sentence tells."""


@dataclass(frozen=True)
class Facts:
    """What is known of a crystal.

    Args:
        structure: Its primitive cell.
        space_group: International number; 0 where unknown.
        band_gap: eV; None where unknown.
        e_form: eV/atom; None where unknown.
    """

    structure: Structure
    space_group: int = 0
    band_gap: float | None = None
    e_form: float | None = None

    @property
    def symbols(self) -> list[str]:
        """Elements, the least electronegative first."""
        return [e.symbol for e in sorted(self.structure.composition.elements, key=lambda e: (e.X, e.symbol))]

    @property
    def anion(self) -> str | None:
        """Noun by the most electronegative element, for example ``oxide``; None for intermetallics and elements."""
        symbols = self.symbols
        return ANIONS.get(symbols[-1]) if len(symbols) > 1 else None

    @property
    def system(self) -> str | None:
        """Crystal system."""
        return next((name for name, last in LAST_OF_SYSTEM.items() if 0 < self.space_group <= last), None)

    @property
    def kind(self) -> str | None:
        """Structure type, where it is one of :data:`TYPES`."""
        return TYPES.get((self.structure.composition.anonymized_formula, self.space_group))


def describe(facts: Facts, rng: np.random.Generator) -> str:
    """One sentence about a crystal, for example ``a cubic ternary oxide with Sr, Ti and O and a gap near 1.9 eV``."""
    adjectives = [word for word in _adjectives(facts, rng) if rng.random() < TOLD]
    noun = _noun(facts, rng)
    clauses = [clause for clause in _clauses(facts, rng) if rng.random() < TOLD]
    if not adjectives and not clauses and noun in _PLAIN:
        clauses = [_elements(facts, rng)]
    head = _begun(" ".join([*_shuffled(adjectives, rng), noun]), rng)
    if not clauses:
        return head
    return f"{head} {rng.choice(['with', 'that has', 'containing'])} {_joined(_shuffled(clauses, rng))}"


def describe_all(
    structures: Sequence[Structure],
    groups: Sequence[int],
    columns: Mapping[str, Sequence[float]],
    rng: np.random.Generator,
    each: int,
) -> list[str]:
    """``each`` sentences about each crystal, one crystal after the other.

    Args:
        structures: Primitive cells.
        groups: Space-group numbers, 0 where unknown.
        columns: ``band_gap`` (eV) and ``e_form`` (eV/atom) where they are known; NaN counts as unknown.
        rng: Of facts and words.
        each: Sentences about each.
    """
    texts = []
    for i, (structure, group) in enumerate(zip(structures, groups, strict=True)):
        known = {name: float(values[i]) for name, values in columns.items() if values[i] == values[i]}
        facts = Facts(structure, int(group), known.get("band_gap"), known.get("e_form"))
        texts += [describe(facts, rng) for _ in range(each)]
    return texts


_PLAIN = ("compound", "crystal", "material", "structure", "phase")


def _adjectives(facts: Facts, rng: np.random.Generator) -> list[str]:
    density = facts.structure.density
    found = [
        facts.system,
        COUNTS.get(len(facts.symbols)),
        _gap_word(facts.band_gap, rng),
        facts.kind,
        "light" if density < LIGHT else "dense" if density > DENSE else None,
        *(name for name, belongs in FAMILIES.items() if any(belongs(e) for e in facts.structure.composition.elements)),
    ]
    return [word for word in found if word]


def _gap_word(gap: float | None, rng: np.random.Generator) -> str | None:
    if gap is None:
        return None
    if gap < 0.05:
        return str(rng.choice(["metallic", "conducting"]))
    if gap < 1:
        return "narrow-gap semiconducting"
    return "semiconducting" if gap < 3 else str(rng.choice(["insulating", "wide-gap"]))


def _noun(facts: Facts, rng: np.random.Generator) -> str:
    metals = all(e.is_metal for e in facts.structure.composition.elements)
    special = "intermetallic" if metals and len(facts.symbols) > 1 else facts.anion
    return special if special and rng.random() < 0.7 else str(rng.choice(_PLAIN))


def _clauses(facts: Facts, rng: np.random.Generator) -> list[str]:
    composition, gap = facts.structure.composition, facts.band_gap
    found = [_elements(facts, rng), f"{len(facts.structure)} atoms in the cell" if rng.random() < 0.5 else None]
    if rng.random() < 0.3:
        found.append(f"the formula {composition.reduced_formula}")
    if facts.space_group and rng.random() < 0.4:
        symbol = sg_symbol_from_int_number(facts.space_group)
        found.append(f"space group {symbol}" if rng.random() < 0.5 else f"space group {facts.space_group}")
    if gap is not None and gap >= 0.05:
        found.append(f"{rng.choice(['a band gap', 'a gap'])} {rng.choice(['of', 'near', 'of about'])} {gap:.1f} eV")
    if facts.e_form is not None and rng.random() < 0.5:
        found.append(f"a formation energy of {facts.e_form:.1f} eV per atom")
    if rng.random() < 0.5:
        found.append(f"a density of about {facts.structure.density:.0f} g/cm3")
    return [clause for clause in found if clause]


def _elements(facts: Facts, rng: np.random.Generator) -> str:
    """All elements or some of them, by name or symbol, or as a system."""
    symbols, way = facts.symbols, rng.random()
    if way < 0.2:
        return f"elements in the {'-'.join(sorted(symbols))} system"
    if way < 0.45:
        symbols = [s for s in symbols if rng.random() < 0.6] or symbols[:1]
    names = symbols if rng.random() < 0.4 else [Element(s).long_name.lower() for s in symbols]
    return _joined(_shuffled(names, rng))


def _shuffled(words: list[str], rng: np.random.Generator) -> list[str]:
    return [words[i] for i in rng.permutation(len(words))]


def _joined(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _begun(words: str, rng: np.random.Generator) -> str:
    return str(rng.choice([f"{'an' if words[0] in 'aeiou' else 'a'} {words}", words]))
