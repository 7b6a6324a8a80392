"""Workflow files and overrides: what is read is what was meant, or one clear message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgen.errors import ConfigError
from matgen.workflow.spelling import override, parse_yaml, read_yaml, write_yaml

plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="ascii") | st.sampled_from("Åµ–σ\u2028"))
)
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz"), inner, max_size=4)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("No", "No"),  # nobelium
        ("NO", "NO"),  # nitrogen oxide
        ("yes", "yes"),
        ("NaN", "NaN"),  # sodium nitride
        ("1e-3", 0.001),
        ("5", 5),
        ("-2.5", -2.5),
        ("012", "012"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("true", True),
        ("null", None),
        ("", None),
        ("[Li, No, 3]", ["Li", "No", 3]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_values_are_read_as_chemists_mean_them(text, value):
    assert parse_yaml(text, "here") == value


@given(st.dictionaries(st.text("abcxyz", min_size=1), nested, max_size=5))
def test_what_is_written_is_read_back(value):
    assert parse_yaml(write_yaml(value), "here") == value


def test_text_that_other_yaml_readers_take_for_something_else_is_quoted():
    import yaml

    value = {"a": "No", "b": "1e-3", "c": "2024-01-01", "d": 1e-7}
    assert yaml.safe_load(write_yaml(value)) == value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: [1", "no YAML"),
        (b"a: 1\na: 2\n", "the key 'a' occurs twice (line 2)"),
        (b"x:\n  {k: 1, k: 2}", "the key 'k' occurs twice"),
        (b"- 1\n- 2\n", "'key: value' lines"),
        (b"", "'key: value' lines"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: !!python/object/apply:os.system ['touch pwned']", "no YAML"),
        (b"[" * 100_000, "cannot be read"),
        (b"a: " + b"9" * 10_000, "cannot be read"),
    ],
)
def test_a_file_that_is_no_workflow_is_refused_in_one_sentence(tmp_path, content, said):
    file = tmp_path / "w.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_yaml(file)
    assert said in str(refused.value)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_overrides_reach_sections_and_lists_and_leave_the_original_alone():
    original = {"a": {"b": 1}, "list": [{"n": 1}, {"n": 2}], "empty": None}
    settings = ["a.b=2", "list.1.n=5", "new.section.x=1e-3", "empty.y=[Li, P]", "a.c=null", "text=a=b"]
    assert override(original, settings) == {
        "a": {"b": 2, "c": None},
        "list": [{"n": 1}, {"n": 5}],
        "new": {"section": {"x": 0.001}},
        "empty": {"y": ["Li", "P"]},
        "text": "a=b",
    }
    assert original == {"a": {"b": 1}, "list": [{"n": 1}, {"n": 2}], "empty": None}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("a.b", "is no setting"),
        ("=3", "is no setting"),
        ("list.2.n=1", "the list 'list' has no entry '2'"),
        ("list.first=1", "the list 'list' has no entry 'first'"),
        ("a.b.c=1", "'a.b' is a value"),
        ("a.b.c.d=1", "'a.b' is a value"),
        ("a={", "no YAML"),
    ],
)
def test_an_override_that_leads_nowhere_is_refused(setting, said):
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        override({"a": {"b": 1}, "list": [{"n": 1}, {"n": 2}]}, [setting])
