"""Explanations on the page: cited, kept beside the run, made again only when something changed."""

import json

import pytest

from matgen.errors import DataError
from matgen.report import explanations as told
from matgen.report.explanations import FILE, explanations
from matgen.report.page import report
from matgen.report.records import read_records


@pytest.fixture(autouse=True)
def own_corpus(monkeypatch, tmp_path):
    monkeypatch.setenv("MATGEN_HOME", str(tmp_path / "home"))


def test_the_first_cards_are_explained_with_sources(folder):
    page = report(folder, explained=2).read_text(encoding="utf-8")
    assert page.count('<details class="explained">') == 2
    records = read_records(folder)
    first = explanations(records, 2)[str(records.table["id"].iloc[0])]
    headings = dict(first.sections)
    assert {"Composition and structure", "Stability", "Hazards", "Open doubts"} <= set(headings)
    assert records.table["formula"].iloc[0] in headings["Stability"]
    assert '<sup class="label">[1]</sup>' in headings["Composition and structure"]
    assert any("10.1021/cm702327g" in line for line in first.sources)
    assert "10.1021/cm702327g" in page


def test_they_are_kept_until_the_candidates_change(folder, monkeypatch):
    records = read_records(folder)
    before = explanations(records, 1)
    monkeypatch.setattr(told, "_explained", lambda *_: pytest.fail("made again"))
    assert explanations(records, 1) == before
    kept = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(kept | {"state": "of other candidates"}))
    with pytest.raises(pytest.fail.Exception, match="made again"):
        explanations(records, 1)


def test_a_damaged_file_is_made_again(folder):
    records = read_records(folder)
    before = explanations(records, 1)
    (folder / FILE).write_text("{")
    assert explanations(records, 1) == before


def test_why_there_is_none_stands_on_the_card(folder, monkeypatch):
    def fail(*_, **__):
        raise DataError("the records are <torn>.")

    monkeypatch.setattr("matgen.assistant.explanation.explain", fail)
    page = report(folder, explained=1).read_text(encoding="utf-8")
    assert "No explanation: the records are &lt;torn&gt;." in page


def test_an_unforeseen_error_stands_on_its_card_and_in_the_log_and_the_next_report_tries_again(
    folder, monkeypatch, caplog
):
    from matgen.assistant import explanation

    first, second = map(str, read_records(folder).table["id"].head(2))

    def some(run, name, **given):
        return {}["lattice"] if name == first else explain(run, name, **given)

    explain = explanation.explain
    with monkeypatch.context() as patched:
        patched.setattr(explanation, "explain", some)
        found = explanations(read_records(folder), 2)
        page = report(folder, explained=2).read_text(encoding="utf-8")
    assert found[first].problem == "KeyError: 'lattice' (the log holds the traceback)."
    assert found[second].sections
    assert not found[second].problem
    assert "No explanation: KeyError: &#39;lattice&#39;" in page
    assert f"candidate {first}" in caplog.text
    assert 'return {}["lattice"]' in caplog.text
    assert explanations(read_records(folder), 1)[first].sections


def test_a_damaged_corpus_is_the_reason_on_each_card(folder, tmp_path):
    (tmp_path / "home" / "corpus").mkdir(parents=True)
    (tmp_path / "home" / "corpus" / "CURRENT").write_text("torn\n")
    found = explanations(read_records(folder), 2)
    assert len(found) == 2
    assert all("the corpus is damaged" in told.problem for told in found.values())


def test_none_are_asked_for(folder):
    assert 'class="explained"' not in report(folder, explained=0).read_text(encoding="utf-8")
    assert not (folder / FILE).exists()


def test_markup_in_records_stays_text():
    raised = told.Explained([("A", "<b>x</b> lies low. [3][4]")], []).sections[0][1]
    assert raised == '&lt;b&gt;x&lt;/b&gt; lies low.<sup class="label">[3][4]</sup>'
