"""Why matgen proposes a candidate, in a chemist's words: every sentence cites the run's records or a passage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matgen.assistant.document import Citation, Document, Passage
from matgen.assistant.extraction import choose, confidence, gather
from matgen.assistant.knowledge import knowledge
from matgen.assistant.notation import readable
from matgen.assistant.recipes import Recipes, conditions
from matgen.assistant.records import Run, describe, number, record
from matgen.assistant.structure_words import structure_sentences
from matgen.assistant.verification import check
from matgen.data.property import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matgen.assistant.recipes import Suggestion
    from matgen.assistant.retrieval import Index

BACKGROUND = {
    "stability": ("10.1021/cm702327g", "The energy above hull"),
    "metastable": ("10.1126/sciadv.1600225", "Half of the known metastable"),
    "gap": ("10.1103/PhysRevLett.51.1884", "Band gaps computed with PBE"),
    "potential": ("10.1038/s42256-023-00716-3", "CHGNet energies approximate"),
    "neutral": ("10.21105/joss.01361", "A composition is called charge neutral"),
    "novel": ("10.1016/j.commatsci.2012.10.028", "Uniqueness and novelty"),
    "recipe": ("10.1038/s41597-019-0224-1", "The extraction has errors"),
    "domain": ("10.48550/arXiv.2107.07511", "For candidates unlike it"),
}
"""Sentences of the shipped knowledge, by DOI and beginning, that say what a number means."""
WARNINGS = {
    "As": "arsenic compounds are toxic and carcinogenic",
    "Be": "beryllium dust is carcinogenic",
    "Cd": "cadmium compounds are toxic and restricted in products",
    "Hg": "mercury compounds are toxic and volatile",
    "Pb": "lead compounds are toxic and restricted in products",
    "Tl": "thallium compounds are acutely toxic",
    "Os": "osmium forms a volatile toxic oxide",
    "Cr": "hexavalent chromium is carcinogenic",
    "F": "fluorides may release hydrogen fluoride with acids",
    "S": "sulfides may release hydrogen sulfide with acids or moist air",
    "Se": "selenides may release hydrogen selenide with acids",
    "P": "phosphides may release phosphine with moist air",
    "Li": "lithium metal and some lithium compounds react with water",
}


@dataclass(frozen=True)
class Section:
    """One part of an explanation: its heading and its verified text with citation labels."""

    heading: str
    text: str


@dataclass(frozen=True)
class Explanation:
    """An explained candidate.

    Args:
        candidate: Its id.
        formula: Its formula.
        sections: What is said, in order.
        citations: The records and passages behind the labels.
        removed: Sentences that did not stand verification, with reasons; empty as a rule.
    """

    candidate: str
    formula: str
    sections: tuple[Section, ...]
    citations: tuple[Citation, ...]
    removed: tuple[dict[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def explain(
    run: str | Path,
    candidate: str,
    *,
    index: Index | None = None,
    recipes: Recipes | None = None,
    attribute: bool = True,
) -> Explanation:
    """Explain a candidate of a run.

    Args:
        run: The run's folder.
        candidate: Id, rank or formula.
        index: Literature to look for relatives in; without it only records and the shipped knowledge are cited.
        recipes: Reported syntheses to draw a suggestion from.
        attribute: Whether to compute which elements drive predicted properties (takes seconds).

    Raises:
        DataError: No such run or candidate.
    """
    row, structure = Run(Path(run)).row(candidate)
    parts: list[tuple[str, list[Passage]]] = [
        (
            "Composition and structure",
            [record(row, f"structure{i}", s) for i, s in enumerate(structure_sentences(row, structure))],
        ),
        ("Why it passed", _passed(row)),
        ("Stability", _stability(row)),
        ("Properties", _properties(row)),
        ("What drives the predictions", _attributions(row, structure) if attribute else []),
        ("Known relatives", _relatives(row, index)),
        ("How it might be made", _synthesis(row, recipes)),
        ("Hazards", _hazards(row, structure.composition.get_el_amt_dict())),
        ("Open doubts", _doubts(row)),
    ]
    return _assemble(row, parts)


def _assemble(row: dict[str, Any], parts: Sequence[tuple[str, list[Passage]]]) -> Explanation:
    citations: list[Citation] = []
    sections, removed = [], []
    for heading, passages in parts:
        here = [Citation.of(len(citations) + i, p) for i, p in enumerate(passages, start=1)]
        citations += here
        worded = [(_worded(c, p), (c.label,)) for c, p in zip(here, passages, strict=True)]
        statements = check(worded, here)
        removed += [{"sentence": s.text, "reason": s.reason} for s in statements if s.reason]
        text = " ".join(s.cited for s in statements if not s.reason)
        if text:
            sections.append(Section(heading, text))
    return Explanation(str(row["id"]), str(row.get("formula", "")), tuple(sections), tuple(citations), tuple(removed))


def _worded(citation: Citation, passage: Passage) -> str:
    """Records in their own words; literature as a quotation with its source."""
    if passage.document.kind != "literature":
        return citation.passage
    name = citation.authors.split(",")[0] or citation.title
    return f"{name} ({citation.year}): “{citation.passage}”" if citation.year else f"{name}: “{citation.passage}”"


def background(topic: str) -> list[Passage]:
    """The shipped sentence that says what a number of this topic means."""
    doi, beginning = BACKGROUND[topic]
    document = next(d for d in knowledge() if d.doi == doi)
    whole = Passage(document, 0, len(document.text))
    return [s for s in whole.sentences() if s.raw.startswith(beginning)]


def _passed(row: dict[str, Any]) -> list[Passage]:
    found = []
    if row.get("valid") is not None and bool(row["valid"]):
        found.append(record(row, "valid", f"{row['formula']} passed every constraint of the screening stage."))
    for i, reason in enumerate(_reasons(row)):
        found.append(record(row, f"reason{i}", f"The ranking notes for {row['formula']}: {reason}."))
    if any("neutral" in reason for reason in _reasons(row)):
        found += background("neutral")
    return found


def _stability(row: dict[str, Any]) -> list[Passage]:
    value = number(row, "e_above_hull")
    if value is None:
        return []
    against = str(row.get("hull_reference") or "the reference hull of this run")
    side = f"{value:.4g} eV/atom above" if value >= 0 else f"{-value:.4g} eV/atom below"
    found = [
        record(
            row, "e_above_hull", f"{row['formula']} lies {side} the hull of {against}, by a machine-learning potential."
        )
    ]
    phases = row.get("competing_phases")
    if isinstance(phases, str) and phases:
        found.append(record(row, "competing_phases", f"The competing phases of {row['formula']} are {phases}."))
    found += background("stability")
    return found + (background("metastable") if 0 < value < 0.2 else []) + background("potential")


def _properties(row: dict[str, Any]) -> list[Passage]:
    names = [name for name in PROPERTIES if name != "e_above_hull" and number(row, name) is not None]
    found = [record(row, name, describe(row, name)) for name in names]
    return found + (background("gap") if "band_gap" in names else [])


def _attributions(row: dict[str, Any], structure: Any) -> list[Passage]:
    from matgen.assistant.attribution import attribute_elements

    found = []
    for name, shares in attribute_elements(row, structure).items():
        prop = PROPERTIES[name]
        words = ", ".join(f"{symbol} {change:+.3g} {prop.unit}" for symbol, change in shares)
        label = f"the predicted {prop.label.lower()} of {row['formula']}"
        text = f"One per cent of the atoms of each element contributes to {label}: {words}."
        found.append(record(row, f"{name}_attribution", text))
    return found


def _relatives(row: dict[str, Any], index: Index | None) -> list[Passage]:
    found = []
    nearest = row.get("nearest_known")
    if isinstance(nearest, str) and nearest:
        found.append(
            record(
                row,
                "nearest_known",
                f"The nearest known compound to {row['formula']} in the reference set is {nearest}.",
            )
        )
    if row.get("novel") is not None:
        word = "matches no" if bool(row["novel"]) else "matches a"
        found.append(record(row, "novel", f"{row['formula']} {word} structure of the reference set."))
        found += background("novel")
    if index is not None:
        found += _quotations(f"{row['formula']} {nearest if isinstance(nearest, str) else ''}", index)
    return found


def _quotations(subject: str, index: Index, most: int = 2) -> list[Passage]:
    """Sentences of the literature that name the material or a material of the same elements."""
    question = f"What is known about {subject.strip()}?"
    hits = index.search(question, 10, frozenset({"literature"}))
    usable = [e for e in choose(gather(question, hits, index), most) if confidence(e) >= 0.5]
    return [e.sentence for e in usable]


def _synthesis(row: dict[str, Any], recipes: Recipes | None) -> list[Passage]:
    if recipes is None:
        return []
    suggestions = recipes.suggest(str(row["formula"]), 1)
    if not suggestions:
        return [record(row, "recipe", f"No reported recipe supplies all elements of {row['formula']}.")]
    return [*recipe_passages(row, suggestions[0]), *background("recipe")]


def recipe_passages(row: dict[str, Any], suggestion: Suggestion) -> list[Passage]:
    """The suggestion in sentences, each analogous recipe citing its paper."""
    precursors = ", ".join(suggestion.precursors)
    found = [
        record(
            row, "precursors", f"By analogy with reported syntheses, precursors for {row['formula']} are {precursors}."
        )
    ]
    temperature, time = conditions(suggestion.analogues)
    if temperature is not None:
        hours = f" for {time:.3g} h" if time is not None else ""
        found.append(record(row, "heating", f"The analogous recipes heat to {temperature:.4g} °C{hours} (median)."))
    for recipe in suggestion.analogues:
        text = f"{recipe.target} was reported from {', '.join(recipe.precursors)}."
        title = f"Text-mined synthesis of {recipe.target}"
        document = Document(f"DOI:{recipe.doi}", title, text, doi=recipe.doi, kind="recipe", source=recipe.id)
        found.append(Passage(document, 0, len(text)))
    return found


def _hazards(row: dict[str, Any], elements: Iterable[str]) -> list[Passage]:
    from pymatgen.core import Element

    present = [s for s in elements if s in WARNINGS]
    found = [record(row, f"hazard-{s}", f"{row['formula']} contains {s}: {WARNINGS[s]}.") for s in present]
    active = [s for s in elements if Element(s).is_radioactive]
    return found + [
        record(row, f"radioactive-{s}", f"{row['formula']} contains {s}, which is radioactive.") for s in active
    ]


def _doubts(row: dict[str, Any]) -> list[Passage]:
    formula, found = row["formula"], []
    if row.get("in_domain") is not None and not bool(row["in_domain"]):
        found.append(record(row, "in_domain", f"{formula} is unlike the training data of the property models."))
        found += background("domain")
    if row.get("thin_system") is not None and bool(row["thin_system"]):
        found.append(record(row, "thin_system", f"The reference hull holds few compounds in the system of {formula}."))
    status = row.get("relax_status")
    if isinstance(status, str) and status != "ok":
        found.append(record(row, "relax_status", f"The relaxation of {formula} ended as {status}."))
    found.append(record(row, "unmeasured", f"No property of {formula} was measured or computed with DFT in this run."))
    return found


def _reasons(row: dict[str, Any]) -> list[str]:
    value = row.get("reasons")
    if value is None or (isinstance(value, float) and value != value):
        return []
    parts = value.split("; ") if isinstance(value, str) else [str(v) for v in value]
    return [readable(part).rstrip(".") for part in parts if part.strip()]
