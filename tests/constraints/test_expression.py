"""Rules of one's own: what they say, and what they refuse to be."""

from __future__ import annotations

import pytest

from matgen.constraints.expression import Expression
from matgen.constraints.specification import build_constraints
from matgen.errors import ConfigError


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ('n("O") >= 2*n("Ti")', True),
        ('x("O") == 0.6 and n_elements == 3', True),
        ('n("O") / n("Ti") < 3', False),
        ("4 < a < 3.95 or volume_per_atom < 12", True),
        ("not density > 5", False),
        ('-n("Sr") + 1 == 0', True),
        ('n("Ti") / n("F") > 1', False),
    ],
)
def test_rules_of_strontium_titanate(perovskite, rule, holds):
    verdict = Expression(rule).check([perovskite])
    assert verdict.passed.tolist() == [holds]
    assert holds or rule in verdict.reasons[0]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('__import__("os").system("true") == 0', "grammar"),
        ("n.__class__ == 1", "grammar"),
        ("(lambda: 1)() == 1", "grammar"),
        ('[1][0] == 1 or open("x")', "grammar"),
        ('n("O") ** 9 > 1', "grammar"),
        ("densty > 5", "densty"),
        ('m("O") > 1', "no function"),
        ('n("Ox") > 1', "no element"),
        ('n("O")', "compares nothing"),
        ("n_atoms < 1" + "0" * 400, "too large"),
        ("density >", "is no rule"),
        ("1 < " * 200 + "2", "characters"),
        ("(" * 240 + "1" + ")" * 240 + " < 2", "is no rule"),
    ],
)
def test_everything_else_is_refused_before_any_work(rule, message):
    with pytest.raises(ConfigError, match=message):
        build_constraints([{"expression": {"rule": rule}}])
