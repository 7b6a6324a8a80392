"""Where a question goes: a run's records, reported recipes, tables of elements and rules, or the literature."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from matgen.assistant.asking import ask, finish
from matgen.assistant.document import Answer, Citation, Document, Passage
from matgen.assistant.hazards import hazard
from matgen.assistant.materials import find_materials
from matgen.assistant.tables import ask_tables
from matgen.assistant.verification import check

if TYPE_CHECKING:
    from pathlib import Path

    from matgen.assistant.backends import Backend
    from matgen.assistant.recipes import Recipes
    from matgen.assistant.retrieval import Index

MAKING = re.compile(r"\b(?:precursors?|synthesi[sz]\w*|prepare\w*|make|made|recipes?|route)\b", re.IGNORECASE)


def route(
    question: str,
    index: Index,
    *,
    run: Path | None = None,
    recipes: Recipes | None = None,
    backend: Backend | None = None,
) -> Answer:
    """Answer a question from the first source whose kind of question it is, each sentence cited and verified.

    Args:
        question: In natural language.
        index: The literature.
        run: Folder of a run whose candidates may be asked about.
        recipes: Reported syntheses, for questions how a material is made.
        backend: A language model that words answers from the literature, or None.
    """
    if hazard(question):
        return ask(question, index)
    if run is not None and (answer := _of_run(question, run)) is not None:
        return answer
    found = (ask_recipes(question, recipes) if recipes is not None else None) or ask_tables(question)
    if found is not None:
        return found
    answer = ask(question, index, backend=backend)
    if answer.refused and recipes is None and asks_how_made(question):
        hint = "No reported syntheses are at hand either; 'matgen corpus add FILE' takes them in."
        return replace(answer, text=f"{answer.text} {hint}", missing=(*answer.missing, "reported syntheses"))
    return answer


def asks_how_made(question: str) -> str:
    """The formula of the one material that a question asks how to make, or an empty string."""
    named = {m.formula: m.spelled for m in reversed(find_materials(question)) if m.formula}
    return next(iter(named.values())) if len(named) == 1 and MAKING.search(question) else ""


def ask_recipes(question: str, recipes: Recipes) -> Answer | None:
    """Precursors and temperatures by analogy for the one material that a question asks how to make, or None."""
    spelled = asks_how_made(question)
    if not spelled:
        return None
    from matgen.assistant.explanation import recipe_passages

    suggestions = recipes.suggest(spelled, 1)
    if not suggestions:
        return None

    def noted(what: str, sentence: str) -> Passage:
        title = f"Computed from {len(recipes.recipes)} reported syntheses"
        return Passage(Document(f"recipes:{spelled}:{what}", title, sentence, kind="record"), 0, len(sentence))

    passages = recipe_passages(spelled, suggestions[0], noted)
    citations = [Citation.of(label, p) for label, p in enumerate(passages, start=1)]
    trace = [{"step": "recipes", "precursors": list(suggestions[0].precursors)}]
    return finish(check([(c.passage, (c.label,)) for c in citations], citations), citations, 1.0, trace)


def _of_run(question: str, run: Path) -> Answer | None:
    """The answer from the run's records, or None where the question is not about candidates."""
    from matgen.assistant.records import ask_run, parse_query

    if not re.search(r"candidate|reject", question, re.IGNORECASE) and parse_query(question).empty:
        return None
    answer = ask_run(question, run)
    return None if answer.refused else answer
