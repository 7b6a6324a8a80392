"""Wishes in plain words: thirty sentences with the request and the constraints that they mean."""

import pytest
from typer.testing import CliRunner

from matgen.assistant.fulfilment import sample_command
from matgen.assistant.wishes import is_wish, parse_wish, spelled_out
from matgen.cli import app
from matgen.constraints.specification import build_acting, parse_option
from matgen.data.request import Request
from matgen.errors import ConfigError

O = {"required_elements": {"required": ["O"]}}  # noqa: E741
CUBIC = {"crystal_system": {"systems": ["cubic"], "roles": ["check"]}}


def ratios(formula):
    return {"anonymous_formula": {"formula": formula}}


def needs(*symbols):
    return {"required_elements": {"required": list(symbols)}}


def bars(*names, allow=()):
    return {"elements": {"forbidden": list(names)} | ({"allow": list(allow)} if allow else {})}


SENTENCES = [
    (
        "a lead-free cubic perovskite oxide with a band gap near 1.6 eV",
        Request(1, target={"band_gap": 1.6}),
        [CUBIC, ratios("ABC3"), O, bars("Pb", allow="O")],
    ),
    ("Generate 20 structures in the Li-P-S system", Request(20, chemical_system="Li-P-S"), []),
    ("propose 5 new crystals of strontium titanate", Request(5, formula="SrTiO3"), []),
    ("I want 8 materials with a band gap of 1500 meV", Request(8, target={"band_gap": 1.5}), []),
    ("sample 3 structures of NaCl with 8 atoms in space group 225", Request(3, "NaCl", None, 8, 225), []),
    ("design a crystal with space group 62", Request(1, space_group=62), []),
    (
        "Give me ten ternary nitrides without rare earths",
        Request(10),
        [{"n_elements": {"low": 3, "high": 3}}, needs("N"), bars("rare_earth", allow="N")],
    ),
    (
        "Find 12 stable sulfides containing copper and tin with a gap between 1 and 1.5 eV",
        Request(12, target={"band_gap": 1.25}),
        [needs("Cu", "Sn", "S")],
    ),
    (
        "I need a non-toxic halide-free semiconductor with a 2.1 eV band gap",
        Request(1, target={"band_gap": 2.1}),
        [bars("toxic", "halogen")],
    ),
    ("Suggest 50 double perovskites free of lead and cadmium", Request(50), [ratios("ABC2D6"), bars("Pb", "Cd")]),
    ("create a spinel of magnesium and aluminium", Request(1), [ratios("AB2C4"), needs("Mg", "Al")]),
    ("generate 4 half-Heusler compounds with titanium", Request(4, space_group=216), [ratios("ABC"), needs("Ti")]),
    ("30 wurtzite nitrides", Request(30, space_group=186), [ratios("AB"), needs("N")]),
    (
        "make 100 cheap earth-abundant oxides with at most 20 atoms",
        Request(100),
        [{"n_atoms": {"high": 20}}, {"price": {}}, {"crustal_abundance": {}}, O],
    ),
    (
        "propose tetragonal crystals in space group P4/mmm",
        Request(1, space_group=123),
        [{"crystal_system": {"systems": ["tetragonal"], "roles": ["check"]}}],
    ),
    (
        "I would like a lithium-containing sulfide with a density below 3 g/cm3",
        Request(1),
        [{"density": {"high": 3.0}}, needs("Li", "S")],
    ),
    ("design 6 rutile-type oxides", Request(6, space_group=136), [ratios("AB2"), O]),
    ("generate 7 structures of rutile", Request(7, formula="TiO2"), []),
    (
        "Generate structures with 2 to 4 elements and no cobalt or nickel",
        Request(1),
        [{"n_elements": {"low": 2, "high": 4}}, bars("Co", "Ni")],
    ),
    (
        "draw 5 quaternary selenides with silver",
        Request(5),
        [{"n_elements": {"low": 4, "high": 4}}, needs("Ag", "Se")],
    ),
    ("A hexagonal boride with formation energy of -0.5 eV/atom", Request(1, target={"e_form": -0.5}), None),
    ("20 compounds within 50 meV above the hull", Request(20, target={"e_above_hull": 0.05}), []),
    (
        "Give me a charge-balanced phosphide with 6 atoms per primitive cell",
        Request(1, n_atoms=6),
        [{"charge_neutral": {}}, needs("P")],
    ),
    ("Find me ABO3 compounds", Request(1), [ratios("ABC3"), O]),
    (
        "generate a dozen iron-based oxides without cobalt",
        Request(12),
        [needs("Fe", "O"), bars("Co", allow=("Fe", "O"))],
    ),
    (
        "suggest a zinc blende semiconductor without As, Cd or Hg",
        Request(1, space_group=216),
        [ratios("AB"), bars("As", "Cd", "Hg")],
    ),
    (
        "design ten binary fluorides with fewer than 12 atoms",
        Request(10),
        [{"n_atoms": {"high": 11}}, {"n_elements": {"low": 2, "high": 2}}, needs("F")],
    ),
    (
        "Propose 15 pyrochlore oxides with a formation energy around -3.2 eV",
        Request(15, target={"e_form": -3.2}),
        [ratios("A2B2C7"), O],
    ),
    ("I need 40 Na-Zr-Si-P-O structures", Request(40, chemical_system="Na-O-P-Si-Zr"), []),
    ("create 9 orthorhombic chlorides of caesium", Request(9), None),
]


@pytest.mark.parametrize(("text", "request_", "constraints"), SENTENCES, ids=[s[0][:40] for s in SENTENCES])
def test_a_sentence_becomes_its_request_and_constraints(text, request_, constraints):
    assert is_wish(text)
    wish = parse_wish(text)
    assert wish.request == request_
    assert wish.unread == ()
    if constraints is not None:
        assert {k: v for c in wish.constraints for k, v in c.items()} == {
            k: v for c in constraints for k, v in c.items()
        }
    assert len(build_acting(wish.constraints)) == len(wish.constraints)


def test_there_are_thirty_sentences():
    assert len(SENTENCES) >= 30


@pytest.mark.parametrize(
    "text",
    [
        "Generate structures",
        "generate 3 structures of NaCl and KCl",
        "a lead-free oxide with lead",
        "generate a crystal in space group Q5",
    ],
)
def test_what_is_unclear_or_contrary_is_refused(text):
    with pytest.raises(ConfigError):
        parse_wish(text)


def test_words_without_a_rule_are_named():
    wish = parse_wish("generate 3 superconducting hydrides under pressure")
    assert set(wish.unread) == {"superconducting", "under", "pressure"}
    assert "Not understood: superconducting, under, pressure" in spelled_out(wish)


def test_a_limit_that_no_generator_takes_is_said():
    with pytest.raises(ConfigError, match="no generator takes a limit"):
        parse_wish("I want a material with a band gap above 3 eV")
    assert "predict and filter" in spelled_out(parse_wish("I want a nitride with a band gap above 3 eV"))


@pytest.mark.parametrize(
    "text",
    [
        "What is the band gap of SrTiO3?",
        "Which candidates contain no cobalt?",
        "How do I make BaTiO3?",
        "lead-free novel candidates",
    ],
)
def test_questions_are_no_wishes(text):
    assert not is_wish(text)


def test_the_command_spells_the_same_constraints():
    wish = parse_wish("5 lead-free cubic perovskite oxides with a density below 6 g/cm3")
    command = sample_command(wish).split(" --constraint ")[1:]
    read = [parse_option(option.strip("'")) for option in command]
    assert build_acting(read) == build_acting(wish.constraints)


def test_a_wish_is_shown_and_runs_only_after_a_yes(tmp_path):
    run = CliRunner()
    wish = "generate 2 cubic oxides with 5 atoms"
    shown = run.invoke(app, ["ask", wish])
    assert "n atoms 5" in shown.output
    assert "matgen sample" in shown.output
    out = tmp_path / "made.extxyz"
    refused = run.invoke(app, ["ask", wish, "--out", str(out), "--model", "random"], input="n\n")
    assert refused.exit_code != 0
    assert not out.exists()


def test_a_wish_joins_the_other_options_of_sample(tmp_path):
    out = tmp_path / "made.extxyz"
    arguments = ["sample", "random-symmetric", "--wish", "2 structures of NaCl with at most 8 atoms", "--out", str(out)]
    refused = CliRunner().invoke(app, arguments, input="n\n")
    assert refused.exit_code != 0
    assert not out.exists()
    done = CliRunner().invoke(app, [*arguments, "--yes", "--json"])
    assert done.exit_code == 0, done.output
    assert out.exists()
    assert "I understood: 2 structures with formula NaCl" in done.output
