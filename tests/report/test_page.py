"""The page as a browser meets it: complete, offline, and deaf to whatever stands in the records."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest
from pymatgen.core import Structure
from typer.testing import CliRunner

import matgen
from matgen.cli import app
from matgen.data.candidates import Candidates
from matgen.errors import ConfigError
from matgen.report.page import ASSETS, SCRIPT, VIEWER, report

LOADING = {"src", "href", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href", "ping"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'--></script></style><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*1117 }}{% raw %}",
    "]]>\u2028<iframe src=//evil.example>",
)


class Page(HTMLParser):
    """Tags with their attributes, scripts and styles with their text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.raw: list[tuple[str, dict[str, str], str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self.raw.append((tag, dict(attrs), ""))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] in {"script", "style"} and self.cdata_elem:
            tag, attrs, text = self.raw[-1]
            self.raw[-1] = (tag, attrs, text + data)
        else:
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def scripts(self):
        return [text for tag, attrs, text in self.raw if tag == "script" and "type" not in attrs]

    def data(self, name):
        return json.loads(next(text for _, attrs, text in self.raw if attrs.get("id") == name))

    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def page(finished, tmp_path_factory):
    return Page(report(finished, tmp_path_factory.mktemp("page") / "r.html").read_text(encoding="utf-8"))


def put(folder, table=None, rejected=None):
    """Change the tables of a run's folder."""
    found = Candidates.read(folder)
    columns = {**found.table, **(table or {})}
    other = found.rejected.assign(**(rejected or {}))
    Candidates(pd.DataFrame(columns), found.structures, other, found.rejected_structures).write(folder)


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attrs in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}, tag
        for name in LOADING & attrs.keys():
            assert attrs[name].startswith(("#", "data:")), (tag, attrs[name][:80])
    for tag, _, text in page.raw:
        if tag == "style":
            assert "url(" not in text
            assert "@import" not in text


def test_the_policy_admits_only_the_page_s_own_scripts(page):
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    hashes = re.findall(r"'sha256-([^']+)'", policy)
    found = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.scripts()]
    assert hashes == found
    assert page.scripts() == [(ASSETS / name).read_text(encoding="utf-8") for name in (VIEWER, SCRIPT)]


def test_the_page_tells_what_the_records_say(page, ranked):
    words = page.words()
    assert "9 structures were proposed by the generator textbook" in words
    assert "1 left on the way" in words
    assert "eV/atom above the reference hull (chgnet-0.3.0)" in words
    assert "neither DFT results nor measurements" in words
    best = ranked.table.iloc[0]
    assert f"{best['e_above_hull']:z.3f}".replace("-", "−") in words
    assert "CHGNet as a pretrained universal neural network potential" in words
    assert len([a for a in page.all("article") if a["class"] == "card"]) == 8


def test_absent_columns_are_named_and_not_invented(page):
    words = page.words()
    lacking = re.search(r"Not in these records: ([^.]*)\.", words).group(1)
    assert {"band gap", "unique", "new", "in domain", "nearest known"} <= set(lacking.split(", "))
    assert "valid, unique, new" not in words
    assert "No new crystal candidate" not in words


def test_the_viewer_gets_the_structures(page, ranked):
    cells = page.data("cells")
    assert len(cells) == 8
    for drawn, structure in zip(cells, ranked.structures, strict=True):
        recorded = drawn["As recorded"]
        assert sorted(recorded["symbols"]) == sorted(s.symbol for s in structure.species)
        assert len(recorded["frac"]) == len(structure)
    shown = {symbol for cell in cells for symbol in cell["As recorded"]["symbols"]}
    assert set(page.data("elements")) == shown


def test_each_card_offers_its_cif(page, ranked):
    links = [a for a in page.all("a") if a.get("download", "").endswith(".cif")]
    assert len(links) == 8
    for link, structure in zip(links, ranked.structures, strict=True):
        found = Structure.from_str(unquote(link["href"].split(",", 1)[1]), fmt="cif")
        assert found.matches(structure)
        assert re.fullmatch(r"[A-Za-z0-9._-]+", link["download"])


def test_links_within_the_page_lead_somewhere(page):
    targets = {a["id"] for _, a in page.tags if "id" in a}
    assert len(targets) == len([a for _, a in page.tags if "id" in a])
    for attrs in page.all("a"):
        if attrs["href"].startswith("#"):
            assert attrs["href"][1:] in targets


def test_pictures_and_buttons_have_words(page):
    for tag, attrs in page.tags:
        if tag == "svg" and "aria-hidden" not in attrs:
            assert attrs["aria-label"]
    assert next(a["lang"] for a in page.all("html")) == "en"
    assert len(page.all("h1")) == 1


def test_hostile_records_stay_text(folder):
    n = 8
    odd = [HOSTILE[i % len(HOSTILE)] + str(i) for i in range(n)]
    names = ("generator", "relax_status", "nearest_known", "formula", "competing_phases", "reasons", "hull_reference")
    put(folder, {"id": odd, **dict.fromkeys(names, odd), odd[0]: odd}, {"stage": odd[1], "reason": odd[2]})
    record = {"funnel": [{"stage": odd[3]}], "timings": {odd[3]: 1}, "protocol": {odd[0]: odd[1], "potential": odd[4]}}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "environment.json").write_text(json.dumps({odd[0]: odd[2]}))
    (folder / "config.yaml").write_text(f"a: |\n  {odd[0]}\n  {odd[2]}\n")
    page = Page(report(folder).read_text(encoding="utf-8"))
    assert len(page.scripts()) == 2
    assert len(page.all("script")) == 4
    assert not {"img", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert attrs.get("href", "#").startswith(("#", "data:"))
    assert "alert(1)" in page.words()
    assert not re.search(r"\b7819\b", page.words())  # the product, which a template engine would put there


def test_the_success_count_needs_all_four_columns(folder):
    energies = Candidates.read(folder).table["e_above_hull"]
    put(folder, {"unique": True, "novel": [True] * 7 + [False], "band_gap": 1.25, "band_gap_std": 0.5})
    page = Page(report(folder).read_text(encoding="utf-8"))
    n = int((energies.iloc[:7] <= 0.1).sum())
    assert f"{n} new crystal candidates within 0.1 eV/atom of the reference hull" in page.words()
    assert "1.25 ± 0.50" in page.words()
    assert "7 are new: no known structure matches." in page.words()


def test_top_limits_the_cards_but_not_the_table(folder):
    page = Page(report(folder, folder / "few.html", top=3).read_text(encoding="utf-8"))
    assert len([a for a in page.all("article") if a["class"] == "card"]) == 3
    assert len(page.data("cells")) == 3
    assert len([a for a in page.all("tr") if "data-marks" in a]) == 8
    none = Page(report(folder, top=0).read_text(encoding="utf-8"))
    assert not none.all("article")
    with pytest.raises(ConfigError):
        report(folder, top=-1)


def test_a_run_without_candidates_says_so(folder):
    found = Candidates.read(folder)
    found.reject("hull", ["too high"] * 8).write(folder)
    page = Page(report(folder).read_text(encoding="utf-8"))
    assert "No candidate is left" in page.words()
    assert "too high" in page.words()


def test_twenty_cards_stay_small(folder):
    found = Candidates.read(folder)
    table = pd.concat([found.table] * 3, ignore_index=True)
    table["rank"], table["id"] = range(1, 25), [f"{i}" for i in range(24)]
    Candidates(table, found.structures * 3).write(folder)
    path = report(folder)
    assert len([a for a in Page(path.read_text("utf-8")).all("article") if a["class"] == "card"]) == 20
    assert path.stat().st_size < 8e6


def test_the_verb_and_the_package_are_the_same_function(folder, tmp_path):
    assert matgen.report(folder) == folder / "report.html"
    result = CliRunner().invoke(app, ["report", str(folder), "--out", str(tmp_path / "x.html"), "--top", "1", "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said == {"report": str(tmp_path / "x.html"), "bytes": (tmp_path / "x.html").stat().st_size}


def test_the_viewer_s_licence_lies_beside_it():
    assert "BSD-3-Clause" in (ASSETS / "3Dmol-LICENSE.txt").read_text(encoding="utf-8")
    assert "v2.5.5" in (ASSETS / "3Dmol-version.txt").read_text(encoding="utf-8")
