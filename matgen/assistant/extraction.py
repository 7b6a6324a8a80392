"""The extractive backend: no language model; the sentences that answer are selected, arranged and attributed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matgen.assistant.document import Passage
from matgen.assistant.hazards import gives_orders
from matgen.assistant.materials import find_materials
from matgen.assistant.quantities import UNITS, quantities
from matgen.assistant.terms import asked, speaks_of, terms
from matgen.features.sentences import encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.assistant.retrieval import Hit, Index

WANTED: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (pattern, frozenset(dimensions.split()))
    for pattern, dimensions in (
        (
            r"\b(?:temperatures?|t_?c|neel|curie|melt\w*|how hot)\b",
            "temperature celsius",
        ),
        (r"\bpressures?\b", "pressure"),
        (r"\b(?:band ?gap|gap|energy|barrier|binding|linewidths?|narrow|work function)\b", "energy"),
        (r"\b(?:how long|duration|how many hours)\b", "time"),
        (
            r"\b(?:how (?:thick|big)|thickness|size|lattice (?:constant|parameter)|depth|diameter|resolution)\b",
            "length",
        ),
        (r"\b(?:hardness|modulus|strength|coercivity)\b", "pressure field oersted"),
        (r"\befficienc(?:y|ies)\b", "percent"),
        (r"\bexpansion coefficient\b", "per kelvin"),
        (r"\bvoltage\b", "voltage"),
        (r"\b(?:price|cost)s?\b", "currency"),
    )
)
_NOUNS = (
    "temperature|band gap|gap|conductivity|coefficient|barrier|hardness|mobility|depth|connectivity|resistance|constant"
    "|modulus|pressure|density|energy|point|efficiency|moment|ratio|toughness|coercivity|index|function|enthalpy|solubility"
    "|cross section|price|dose|voltage|resolution|thickness|size|radius|strength"
)
_NUMERIC = re.compile(
    rf"\bhow (?:much|many|large|big|low|high|long|thick|narrow|far|fast|deep|strong)\b"
    rf"|\bwhat (?!do|does|did|happens|would)(?:(?:is|was|are) the |an? )?(?:[\w-]+ ){{0,5}}?(?:{_NOUNS})s?\b"
    rf"|\b(?:at|below|above|near|from|to) (?:what|which) (?:\w+ )?(?:temperature|pressure|voltage|field)s?\b",
    re.IGNORECASE,
)
SHORTEST, TERSE = 12, 25
"""Characters below which a sentence is a fragment, and below which it must have a verb to be more than a heading."""
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|had|can|shows?|forms?|melts?|grows?|orders?)\b", re.IGNORECASE)
_LEANING = re.compile(r"(?:its?|this|these|they|their|such)\b", re.IGNORECASE)
LEANING = 80
"""Characters up to which a sentence that begins with a pronoun is quoted with the sentence before it."""
_RESULT = re.compile(
    r"\b(?:show(?:s|ed|n)?|find|found|reveal\w*|demonstrat\w+|confirm\w*|lead(?:s|ing)?|led|result\w*|increas\w+"
    r"|decreas\w+|suppress\w*|enhanc\w+|reduc\w+|due to|because|caus\w+|exhibit\w*|yield\w*|achiev\w+|reach\w*"
    r"|provid\w+|stabili\w+|depend\w*|scal\w+|relies|rely|require\w*|observ\w+|consist\w*)\b",
    re.IGNORECASE,
)
"""Words with which authors state a result."""
_FRAME = re.compile(
    r"\b(?:investigat\w+|stud(?:y|ied|ies)|present|introduc\w+|propos\w+|develop\w*|report|explor\w+|systematic\w*"
    r"|findings|insights?|promising|remains?|typically|widely|crucial|important|viable|however|recent\w*"
    r"|potential applications|offers?|understanding|guid\w+|establish\w*|pave\w*|previously|critical area)\b",
    re.IGNORECASE,
)
"""Words with which they motivate, announce and conclude."""
NOTHING = "nothing found about"
"""How a reason starts where the material itself is absent."""
TITLE_TERM = 0.3
DOPANTS = 2
"""Elements that a passage's material may have beyond those asked for (dopants, partial substitution)."""
ANSWERING = np.array([7.4, 7.2, -4.2, 5.1, 0.3, -0.15, 1.1])
"""Weights of cosine, specific terms, all terms, terms around, result words, framing words and rank in a sentence's
score: a softmax over the sentences of the dev half of ``tests/data/questions.jsonl``, fitted there and rounded."""
MARGIN = 2.0
"""Sentences whose score falls short of the best one by more than this do not join it in an answer."""
_PERSONAL = re.compile(
    r"\b(?:we|our|us|this (?:work|study|paper|article)|here|these (?:results|findings)|the authors)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Evidence:
    """A sentence that may answer.

    Args:
        sentence: The sentence, pointing into its document.
        score: How well it answers, as a log-odds: differences count.
        cosine: Meaning, against the question.
        coverage: Rarity-weighted share of the question's terms found in the sentence, its passage or its title.
        missing: Question terms that are not found.
        reason: Why it cannot answer whatever its score, or an empty string.
    """

    sentence: Passage
    score: float
    cosine: float
    coverage: float
    missing: tuple[str, ...]
    reason: str = ""


def gather(question: str, hits: Sequence[Hit], index: Index) -> list[Evidence]:
    """Sentences of the passages found, best first; orders hidden in documents are left out."""
    weights = {term: index.rarity(term) for term in asked(question)}
    vector = encoder()([question])[0]
    rows = {id(p): i for i, p in enumerate(index.passages)}
    found = []
    for rank, hit in enumerate(hits):
        title = set(terms(hit.passage.document.title))
        around = set(terms(hit.passage.raw)) | title
        asking = Asking(question, weights, around, title, rank)
        before = None
        for row in index.sentence_rows(rows[id(hit.passage)]):
            sentence = Passage(hit.passage.document, int(index.spans[row, 0]), int(index.spans[row, 1]))
            if gives_orders(sentence.raw):
                break
            if _says_something(sentence.raw):
                found.append(_evidence(asking, _whole(sentence, before), float(index.vectors[row] @ vector)))
            before = sentence
    return sorted(found, key=lambda e: (-e.score, e.sentence.document.id, e.sentence.start))


@dataclass(frozen=True)
class Asking:
    """A question against one passage.

    Args:
        question: As asked.
        weights: Rarity of each of its terms.
        around: Terms of the passage and its title.
        title: Terms of the title.
        rank: Place of the passage among those found, from 0.
    """

    question: str
    weights: dict[str, float]
    around: set[str]
    title: set[str]
    rank: int

    def share(self, where: set[str]) -> float:
        """Rarity-weighted share of the question's terms that a text speaks of."""
        return sum(w for t, w in self.weights.items() if speaks_of(t, where)) / (sum(self.weights.values()) or 1.0)


def _says_something(text: str) -> bool:
    """Whether a piece of text is a statement and no heading: ``Its band gap is 3.2 eV.``."""
    return len(text) >= TERSE or (len(text) >= SHORTEST and _VERB.search(text) is not None)


def _whole(sentence: Passage, before: Passage | None) -> Passage:
    """A short sentence that leans on the one before it, together with that one."""
    if before is None or len(sentence.raw) > LEANING or _LEANING.match(sentence.raw) is None:
        return sentence
    return Passage(sentence.document, before.start, sentence.end)


def _evidence(asking: Asking, sentence: Passage, cosine: float) -> Evidence:
    inside = set(terms(sentence.raw))
    own, near = _specific(asking.weights, inside, asking.title), asking.share(asking.around)
    text = sentence.text
    features = np.array(
        [
            max(cosine, 0.0),
            own,
            asking.share(inside),
            near,
            _RESULT.search(text) is not None,
            len(_FRAME.findall(text)),
            1.0 / (1.0 + asking.rank),
        ]
    )
    missing = tuple(t for t in asking.weights if t not in asking.around and t not in inside)
    coverage = 0.5 * own + 0.5 * near
    bar = _bar(asking.question, sentence, asking.around, _fits(asking.question, text))
    return Evidence(sentence, float(ANSWERING @ features), cosine, coverage, missing, bar)


def _specific(weights: dict[str, float], inside: set[str], title: set[str]) -> float:
    """Share of the question's terms in a sentence; terms of the title count little, as every sentence is about them."""
    discounted = {t: w * (TITLE_TERM if t in title else 1.0) for t, w in weights.items()}
    return sum(w for t, w in discounted.items() if t in inside) / (sum(discounted.values()) or 1.0)


def _fits(question: str, sentence: str) -> float:
    """1 where a question for a number meets a sentence that states one of the wanted dimension."""
    if not wants_number(question):
        return 0.5
    stated = {q.dimension for q in quantities(sentence)}
    wanted = wanted_dimensions(question)
    return float(bool(stated & wanted) if wanted else bool(stated))


def _bar(question: str, sentence: Passage, around: set[str], fits: float) -> str:
    """What disqualifies a sentence: another material, or no number of the wanted kind."""
    systems = [frozenset(t[2:].split("-")) for t in around if t.startswith("s:")]
    for material in find_materials(question):
        wanted = frozenset(material.system.split("-"))
        if not any(wanted <= s and len(s) <= len(wanted) + DOPANTS for s in systems):
            return f"{NOTHING} {material.text}"
    asked_for = _attributes(question)
    absent = [t for t in asked_for if not speaks_of(t, around)]
    if wants_number(question) and len(absent) > len(asked_for) / 2:
        return f"no passage about it speaks of {', '.join(absent)}"
    if fits == 0.0:
        unit = next((u for u, (d, _) in UNITS.items() if d in wanted_dimensions(question)), "")
        return f"no passage states the number asked for{f' (in {unit} or a like unit)' if unit else ''}"
    return ""


def _attributes(question: str) -> list[str]:
    """Terms of a question that are neither a material nor the bare noun of a quantity: ``melt`` in "melting point"."""
    named = {term for material in find_materials(question) for term in terms(material.text)}
    bare = set(terms(_NOUNS.replace("|", " ")))
    return [t for t in asked(question) if t not in named and t not in bare and not t.startswith(("f:", "s:"))]


def wants_number(question: str) -> bool:
    """Whether the question asks for a number."""
    return _NUMERIC.search(question) is not None


def wanted_dimensions(question: str) -> frozenset[str]:
    """Dimensions in which the number asked for may be given; empty if any will do."""
    lower = re.sub(r"\bat (?!what|which)[^?,]*", "", question.lower().replace("é", "e"))  # conditions are not asked for
    if "by how much" in lower or "how many" in lower:
        return frozenset()
    found = [dimensions for pattern, dimensions in WANTED if re.search(pattern, lower)]
    return frozenset().union(*found) if found else frozenset()


def choose(evidence: Sequence[Evidence], most: int = 3) -> list[Evidence]:
    """The best sentence and those that add to it: nearly as good, and not the same in other words."""
    usable = [e for e in evidence if not e.reason]
    if not usable:
        return []
    chosen = [usable[0]]
    for item in usable[1:]:
        if len(chosen) == most or item.score < usable[0].score - MARGIN:
            break
        if max(_overlap(item, other) for other in chosen) < 0.7:
            chosen.append(item)
    return chosen


def confidence(evidence: Evidence) -> float:
    """Probability-like belief that a sentence answers, from its coverage of the question and its meaning.

    The logistic weights were set by hand; ``benchmarks/assistant.py`` measures what they refuse.
    """
    return float(1.0 / (1.0 + np.exp(-(WEIGHTS @ np.array([evidence.coverage, evidence.cosine, 1.0])))))


WEIGHTS = np.array([8.0, 6.0, -7.5])


def phrase(sentence: Passage) -> str:
    """A sentence for an answer: quoted and attributed where its author speaks, plain where not."""
    text = sentence.text
    document = sentence.document
    if document.kind != "literature" or not _PERSONAL.search(text):
        return text if text.endswith((".", "!", "?")) else f"{text}."
    name = document.authors.split(",")[0].strip()
    several = " et al." if "," in document.authors else ""
    year = f" ({document.year})" if document.year else ""
    return f"{name}{several}{year} write: “{text}”" if name else f"The source{year} states: “{text}”"


def _overlap(a: Evidence, b: Evidence) -> float:
    words, others = set(terms(a.sentence.raw)), set(terms(b.sentence.raw))
    return len(words & others) / max(1, min(len(words), len(others)))
