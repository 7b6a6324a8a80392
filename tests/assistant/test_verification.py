"""What is cited must say it: words, numbers, units, formulas and polarity."""

import pytest

from matgen.assistant.document import Citation, Document, Passage
from matgen.assistant.verification import check, cited_sentences, contradiction, support, verify

SOURCE = "The Neel temperature of CrSBr is 132 K and irradiation suppresses the antiferromagnetic order."


def citation(label, text, title="On CrSBr"):
    return Citation.of(label, Passage(Document(f"d{label}", title, text, "Doe, Jane", 2025), 0, len(text)))


@pytest.mark.parametrize(
    "claim",
    [
        SOURCE,
        "The Neel temperature of CrSBr is 132 K.",
        "Irradiation suppresses the antiferromagnetic order of CrSBr.",
        "Doe et al. (2025) write: “the Neel temperature of CrSBr is 132 K”",
    ],
)
def test_what_the_source_says_stands(claim):
    assert [s.reason for s in verify(f"{claim} [1]", [citation(1, SOURCE)])] == [""]


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ("The Neel temperature of CrSBr is 142 K. [1]", "does not state 142 K"),
        ("The Neel temperature of CrSBr is 132 °C. [1]", "does not state 132 °C"),
        ("The Neel temperature of CrCl3 is 132 K. [1]", "does not name CrCl3"),
        ("Irradiation enhances the antiferromagnetic order of CrSBr. [1]", "opposite"),
        ("Irradiation does not suppress the antiferromagnetic order of CrSBr. [1]", "negation"),
        ("Graphene conducts heat better than copper. [1]", "something else"),
        ("The Neel temperature of CrSBr is 132 K. [2]", "does not exist"),
        ("The Neel temperature of CrSBr is 132 K.", "no citation"),
        ("See https://example.org for CrSBr. [1]", "links"),
        ("In 2031 Roe wrote: “the Neel temperature of CrSBr is 132 K” [1]", "does not state 2031"),
        ("This was shown in “Neel temperature and irradiation of CrSBr” [1]", "quotation marks"),
    ],
)
def test_what_it_does_not_say_falls(claim, why):
    (statement,) = verify(claim, [citation(1, SOURCE)])
    assert why in statement.reason


def test_labels_belong_to_the_sentence_before_them():
    assert cited_sentences("One is so [1]. Two is so. [2][3] Three is bare.") == [
        ("One is so.", (1,)),
        ("Two is so.", (2, 3)),
        ("Three is bare.", ()),
    ]


def test_opposites_need_the_same_pair():
    assert contradiction("The gap increases.", "The gap decreases.")
    assert not contradiction("The gap increases.", "The gap increases while the density decreases.")
    assert not contradiction("The gap is direct.", "The gap is large.")


def test_support_is_graded():
    good, partly = support(SOURCE, SOURCE), support("CrSBr orders magnetically below 132 K.", SOURCE)
    bad = support("Bread rises in a warm oven.", SOURCE)
    assert good.score == 1.0 > partly.score > bad.score


def test_directions_and_foreign_references_are_no_labels():
    source = "Films grown along [001] conduct better [30] than others."
    assert [s.reason for s in verify(f"{source} [1]", [citation(1, source)])] != [""]
    assert [s.reason for s in check([(source, (1,))], [citation(1, source)])] == [""]
    assert cited_sentences("Films grown along [001] conduct. [1]") == [("Films grown along [001] conduct.", (1,))]
