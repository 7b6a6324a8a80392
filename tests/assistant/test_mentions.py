"""What a sentence takes up from another."""

import numpy as np

from matgen.assistant.mentions import KINDS, mentions, taken_up

FIRST = "We study a kagome magnet by angle-resolved photoemission spectroscopy (ARPES)."
SECOND = "The kagome magnet shows flat bands in ARPES spectra."


def test_articles_and_abbreviations_are_told_apart():
    first, second = mentions(FIRST), mentions(SECOND)
    assert {"kagom", "magnet"} <= first.new
    assert {"kagom", "magnet"} <= second.known
    assert first.defined == {"ARPES"}
    assert second.used == {"ARPES"}
    assert not second.defined


def test_the_second_takes_up_the_first_and_not_the_other_way_round():
    taken = taken_up([FIRST, SECOND])
    assert taken.shape == (2, 2, KINDS)
    forward, backward = taken[0, 1], taken[1, 0]
    assert forward[0] > 0 == backward[0]  # "the" after the first mention
    assert forward[1] == 0 < backward[1]  # "a" after a mention
    assert (forward[2], backward[2]) == (1.0, 0.0)  # an abbreviation after its definition
    assert (forward[6], backward[6]) == (1.0, 0.0)  # "the" after "a"
    assert not np.diagonal(taken, axis1=0, axis2=1).any()


def test_an_article_reaches_no_further_than_its_noun():
    found = mentions("The films of strontium titanate grow; a substrate holds these long and thin wires.")
    assert found.known == {"film", "long"}
    assert "substrat" in found.new
