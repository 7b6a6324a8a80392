"""Why matgen proposes a candidate, in a chemist's words: every sentence cites the run's records or a passage."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matgen.assistant.constraint_words import constraints_of, verdict_sentences
from matgen.assistant.document import Citation, Document, Passage
from matgen.assistant.extraction import choose, confidence, gather
from matgen.assistant.knowledge import knowledge
from matgen.assistant.materials import find_materials
from matgen.assistant.molecule_words import group_sentences
from matgen.assistant.notation import readable
from matgen.assistant.recipes import Recipes, conditions
from matgen.assistant.records import Run, describe, number, record
from matgen.assistant.safety_words import hazards
from matgen.assistant.structure_words import structure_sentences
from matgen.assistant.verification import check
from matgen.data.property import PROPERTIES
from matgen.data.structures import is_molecule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matgen.assistant.recipes import Suggestion
    from matgen.assistant.retrieval import Index

BACKGROUND = {
    "stability": ("10.1021/cm702327g", "The energy above hull"),
    "metastable": ("10.1126/sciadv.1600225", "Half of the known metastable"),
    "gap": ("10.1103/PhysRevLett.51.1884", "Band gaps computed with PBE"),
    "potential": ("10.1038/s42256-023-00716-3", "CHGNet energies approximate"),
    "neutral": ("10.21105/joss.01361", "A composition is called charge neutral"),
    "novel": ("10.1016/j.commatsci.2012.10.028", "A candidate of matgen"),
    "recipe": ("10.1038/s41597-019-0224-1", "The extraction has errors"),
    "domain": ("10.48550/arXiv.2107.07511", "For candidates unlike it"),
}
"""Sentences of the shipped knowledge, by DOI and beginning, that say what a number means."""
ON_HULL = 0.001
"""eV/atom; a smaller distance from the hull is none."""
DOUBTFUL, NEGLIGIBLE = 0.25, 0.01
"""A prediction whose standard deviation exceeds these, as a share of its value and in its unit, is doubtful."""
MOST_SITES, TINY = 5, 1e-6


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
    kept, broken = verdict_sentences(str(row["formula"]), structure, constraints_of(Path(run)), _reasons(row))
    parts: list[tuple[str, list[Passage]]] = [
        (
            "Composition and structure",
            [record(row, f"structure{i}", s) for i, s in enumerate(structure_sentences(row, structure))],
        ),
        ("Why it passed", _passed(row, kept)),
        ("Stability", _stability(row)),
        ("Properties", _properties(row)),
        ("What drives the predictions", _attributions(row, structure) if attribute else []),
        ("Known relatives", _relatives(row, index)),
        ("How it might be made", _synthesis(row, recipes)),
        ("Hazards", _hazards(row, structure.composition.get_el_amt_dict())),
        ("Open doubts", _doubts(row, broken)),
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


def _passed(row: dict[str, Any], kept: Sequence[str]) -> list[Passage]:
    found = []
    if row.get("valid") is not None and bool(row["valid"]):
        found.append(record(row, "valid", f"{row['formula']} passed every constraint of the screening stage."))
    found += [record(row, f"constraint{i}", sentence) for i, sentence in enumerate(kept)]
    if any(sentence.startswith("The charges") for sentence in kept):
        found += background("neutral")
    return found


def _stability(row: dict[str, Any]) -> list[Passage]:
    value = number(row, "e_above_hull")
    if value is None:
        return []
    against = str(row.get("hull_reference") or "the reference hull of this run")
    if abs(value) < ON_HULL:
        where = f"on the hull of {against}, within {ON_HULL:g} eV/atom"
    else:
        where = f"{abs(value):.3f} eV/atom {'above' if value > 0 else 'below'} the hull of {against}"
    text = f"{row['formula']} lies {where}, by a machine-learning potential."
    found = [record(row, "e_above_hull", text), *_competing(row), *background("stability")]
    return found + (background("metastable") if 0 < value < 0.2 else []) + background("potential")


def _competing(row: dict[str, Any]) -> list[Passage]:
    """The phases that the candidate is measured against; parts are shares of the atoms."""
    phases = row.get("competing_phases")
    if not isinstance(phases, str) or not phases:
        return []
    formula = row["formula"]
    parts = re.findall(r"([\d.]+) ([^\s+]+)", phases)
    if len(parts) == 1 and parts[0][1] == formula:
        text = f"The reference hull holds a phase of the composition {formula} itself, which it competes with."
    elif parts:
        words = _listed([f"{name} ({100 * float(share):.0f} % of the atoms)" for share, name in parts])
        text = f"The competing phases of {formula}, into which it would decompose, are {words}."
    else:
        text = f"The competing phases of {formula} are {phases}."
    return [record(row, "competing_phases", text)]


def _properties(row: dict[str, Any]) -> list[Passage]:
    names = [name for name in PROPERTIES if name != "e_above_hull" and number(row, name) is not None]
    found = [record(row, name, describe(row, name)) for name in names]
    return found + (background("gap") if "band_gap" in names else [])


def _attributions(row: dict[str, Any], structure: Any) -> list[Passage]:
    from matgen.assistant.attribution import attribute

    if is_molecule(structure):
        told = group_sentences(row, structure)
        return [record(row, f"{name}_attribution", text) for name, text in told.items()]
    found = []
    for name, changes in attribute(row, structure).items():
        prop = PROPERTIES[name]
        words = [f"{s} {'raises' if c > 0 else 'lowers'} it by {abs(c):.2g} {prop.unit}".strip() for s, c in changes]
        what = f"the predicted {prop.label.lower()} of {row['formula']}"
        if all(abs(c) < TINY for _, c in changes):
            text = f"No element of {row['formula']} changes {what}."
        else:
            rest = ", the other sites less" if len(words) > MOST_SITES else ""
            text = f"Taken for one per cent of the atoms in {what}, {_listed(words[:MOST_SITES])}{rest}."
        found.append(record(row, f"{name}_attribution", text))
    return found


def _relatives(row: dict[str, Any], index: Index | None) -> list[Passage]:
    found = []
    nearest = row.get("nearest_known")
    nearest = nearest if isinstance(nearest, str) else ""
    if nearest:
        found.append(record(row, "nearest_known", _nearest(str(row["formula"]), nearest)))
    if row.get("novel") is not None:
        word = "matches no" if bool(row["novel"]) else "matches a"
        found.append(record(row, "novel", f"The structure of {row['formula']} {word} structure of the reference set."))
        found += background("novel")
    if index is None:
        return found
    names = dict.fromkeys([str(row["formula"]), *(m.spelled for m in find_materials(nearest))])
    quoted = list(dict.fromkeys(q for name in names for q in _quotations(name, index)))
    if not quoted:
        text = f"No passage of the corpus was found that says something of {' or '.join(names)}."
        quoted = [record(row, "literature", text)]
    return found + quoted


def _nearest(formula: str, nearest: str) -> str:
    """The novelty stage's note as a sentence."""
    if nearest.startswith("isostructural with"):
        return f"{formula} is {nearest}."
    if nearest.startswith("closest known composition:"):
        name = nearest.partition(": ")[2]
        return f"No compound of the composition {formula} is in the reference set; the closest composition is {name}."
    if " is known in other structures" in nearest:
        return f"{nearest}."
    return f"The nearest known compound to {formula} in the reference set is {nearest}."


def _quotations(subject: str, index: Index, most: int = 2) -> list[Passage]:
    """Sentences of the literature that name the material or a material of the same elements."""
    question = f"What is known about {subject}?"
    hits = index.search(question, 10, frozenset({"literature"}))
    usable = [e for e in choose(gather(question, hits, index), most) if confidence(e) >= 0.5]
    return [e.sentence for e in usable]


def _synthesis(row: dict[str, Any], recipes: Recipes | None) -> list[Passage]:
    if recipes is None:
        text = (
            f"No route to {row['formula']} is suggested, because no reported syntheses are at hand: add a file of them "
            f"with 'matgen corpus add', or name one with '--recipes'."
        )
        return [record(row, "recipe", text)]
    suggestions = recipes.suggest(str(row["formula"]), 1)
    if not suggestions:
        return [record(row, "recipe", f"No reported recipe supplies all elements of {row['formula']}.")]
    formula, noted = str(row["formula"]), partial(record, row)
    return [*recipe_passages(formula, suggestions[0], noted), *background("recipe")]


def recipe_passages(formula: str, suggestion: Suggestion, noted: Callable[[str, str], Passage]) -> list[Passage]:
    """The suggestion in sentences, each analogous recipe citing its paper.

    Args:
        formula: What is to be made.
        suggestion: Its precursors.
        noted: Makes a passage of a sentence that was computed, from a name for it and its text.
    """
    precursors = _listed(suggestion.precursors)
    text = f"By analogy with reported solid-state syntheses, precursors for {formula} are {precursors}."
    found = [noted("precursors", text)]
    temperature, time = conditions(suggestion.analogues)
    if temperature is not None:
        hours = f" for {time:.3g} h" if time is not None else ""
        found.append(noted("heating", f"The analogous recipes heat to {temperature:.0f} °C{hours} (median)."))
    for recipe in suggestion.analogues:
        hottest = conditions([recipe])[0]
        heated = f", heated to {hottest:.0f} °C" if hottest is not None else ""
        text = f"{recipe.target} was reported from {_listed(recipe.precursors)}{heated}."
        title = f"Text-mined synthesis of {recipe.target}"
        document = Document(f"DOI:{recipe.doi}", title, text, doi=recipe.doi, kind="recipe", source=recipe.id)
        found.append(Passage(document, 0, len(text)))
    return found


def _hazards(row: dict[str, Any], elements: Iterable[str]) -> list[Passage]:
    found = hazards(tuple(elements))
    if not found:
        text = f"No element of {row['formula']} is on the list of special hazards; its own toxicity is not known."
        return [record(row, "hazard", text)]
    return [record(row, f"hazard-{s}", f"{row['formula']} contains {s}: {words}.") for s, words in found.items()]


def _doubts(row: dict[str, Any], broken: Sequence[str]) -> list[Passage]:
    formula, found = row["formula"], [record(row, f"broken{i}", text) for i, text in enumerate(broken)]
    doubt = row.get("implausibly_low")
    if isinstance(doubt, str) and doubt:
        found.append(record(row, "implausibly_low", f"The energy of {formula} needs checking: {doubt.rstrip('.')}."))
    if row.get("in_domain") is not None and not bool(row["in_domain"]):
        found.append(record(row, "in_domain", f"{formula} is unlike the training data of the property models."))
        found += background("domain")
    if row.get("thin_system") is not None and bool(row["thin_system"]):
        found.append(record(row, "thin_system", f"The reference hull holds few compounds in the system of {formula}."))
    status = row.get("relax_status")
    if isinstance(status, str) and status != "ok":
        found.append(record(row, "relax_status", f"The relaxation of {formula} ended as {status}."))
    found += _uncertain(row)
    found.append(record(row, "unmeasured", f"No property of {formula} was measured or computed with DFT in this run."))
    open_questions = "Other conformers, solvents" if row.get("smiles") else "Phonons, disorder"
    text = f"{open_questions} and the stability of {formula} at temperature were not examined."
    return [*found, record(row, "unexamined", text)]


def _uncertain(row: dict[str, Any]) -> list[Passage]:
    """Predictions whose standard deviation is a large part of their value."""
    found = []
    for name, prop in PROPERTIES.items():
        value, spread = number(row, name), number(row, f"{name}_std")
        if value is not None and spread is not None and spread > max(NEGLIGIBLE, DOUBTFUL * abs(value)):
            text = f"The {prop.label.lower()} of {row['formula']} is uncertain by {spread:.2g} {prop.unit}".strip()
            found.append(record(row, f"{name}_spread", f"{text} (one standard deviation)."))
    return found


def sources(explanation: Explanation) -> list[str]:
    """One line for each paper behind an explanation, and one for all records of the run."""
    own = [c.label for c in explanation.citations if c.document.startswith("run:")]
    papers = [c for c in explanation.citations if not c.document.startswith("run:")]
    lines = [f"[{c.label}] {c.title}. {c.doi or c.document}" for c in papers]
    return [*lines, f"{_ranges(own)} Records of the run, computed from its tables and structures."] if own else lines


def _ranges(labels: Sequence[int]) -> str:
    """Labels as ``[1]-[10], [13]``, runs joined."""
    runs: list[list[int]] = []
    for label in labels:
        if runs and label == runs[-1][-1] + 1:
            runs[-1].append(label)
        else:
            runs.append([label])
    return ", ".join(f"[{r[0]}]" if len(r) == 1 else f"[{r[0]}]-[{r[-1]}]" for r in runs)


def _listed(words: Sequence[str]) -> str:
    """Words joined by commas, the last one by "and"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _reasons(row: dict[str, Any]) -> list[str]:
    value = row.get("reasons")
    if value is None or (isinstance(value, float) and value != value):
        return []
    parts = value.split("; ") if isinstance(value, str) else [str(v) for v in value]
    return [readable(part).rstrip(".") for part in parts if part.strip()]
