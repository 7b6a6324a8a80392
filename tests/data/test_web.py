import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from broken_inputs import NACL, PEROVSKITE

from matgen.data.ingest import ingest
from matgen.data.readers.materials_project import ENDPOINT_VARIABLE, KEY_VARIABLE, MaterialsProject
from matgen.data.readers.optimade import Optimade
from matgen.data.readers.web import WebClient
from matgen.errors import ConfigError, DataError
from matgen.execution import Serial

KEY = "secret-key-of-32-characters-00000"


class Site:
    """A web server of this test: answers with what ``answer`` makes of a request, after ``failures`` answers."""

    def __init__(self):
        self.requests, self.failures = [], []
        self.answer = lambda path, query, headers: (404, {})
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(parts.query).items()}
                site.requests.append((parts.path, query, dict(self.headers)))
                if site.failures:
                    status, body, headers = site.failures.pop(0)
                else:
                    status, body = site.answer(parts.path, query, self.headers)
                    headers = {}
                if status is None:
                    self.connection.close()
                    return
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # connections that a test breaks on purpose
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def pauses(monkeypatch):
    """Pauses that clients would have made."""
    made = []
    original = WebClient.__init__

    def quick(self, *args, **options):
        original(self, *args, sleep=made.append, timeout=5.0, **options)

    monkeypatch.setattr(WebClient, "__init__", quick)
    return made


# --- the Materials Project -------------------------------------------------------------------------------------------


def document(i):
    structure = (NACL if i % 2 else PEROVSKITE).copy()
    structure.scale_lattice(structure.volume * (1 + 0.2 * i))
    return {
        "material_id": f"mp-{i}",
        "formula_pretty": structure.composition.reduced_formula,
        "structure": structure.as_dict(),
        "formation_energy_per_atom": -1.0 - 0.1 * i,
        "energy_above_hull": 0.01 * i,
        "band_gap": 1.0 * i,
        "theoretical": True,
    }


def summary(documents, allowed="SrTiO3"):
    def answer(path, query, headers):
        if headers.get("X-API-KEY") != KEY:
            return 401, {"detail": "no key"}
        if path != "/materials/summary/" or query.get("formula", allowed) != allowed:
            return 404, {"detail": "no such thing"}
        start, size = int(query["_skip"]), min(int(query["_limit"]), 2)
        return 200, {"data": documents[start : start + size], "meta": {"total_doc": len(documents)}}

    return answer


@pytest.fixture
def project(site, monkeypatch, pauses):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv(ENDPOINT_VARIABLE, site.url)
    site.answer = summary([document(i) for i in range(5)])
    return site


def test_pages_of_the_materials_project_become_a_data_set(project, tmp_path):
    dataset = ingest("mp:Ti-Sr-O", tmp_path / "out", executor=Serial())
    assert dataset.table["id"].tolist() == [f"mp-{i}" for i in range(5)]
    assert dataset.table["e_form"].tolist() == pytest.approx([-1.0, -1.1, -1.2, -1.3, -1.4])
    assert set(dataset.properties) == {"e_form", "e_above_hull", "band_gap", "volume_per_atom", "density"}
    assert [query["_skip"] for _, query, _ in project.requests] == ["0", "2", "4"]
    assert {query["chemsys"] for _, query, _ in project.requests} == {"O-Sr-Ti"}
    text = "".join(path.read_text() for path in (tmp_path / "out").glob("card.*"))
    assert KEY not in text


def test_a_second_ingest_asks_nothing(project, tmp_path):
    ingest("mp:SrTiO3", tmp_path / "out", executor=Serial())
    asked = len(project.requests)
    assert ingest("mp:SrTiO3", tmp_path / "out", executor=Serial()).cached
    assert len(project.requests) == asked
    ingest("mp:SrTiO3", tmp_path / "out", executor=Serial(), refresh=True)
    assert len(project.requests) == 2 * asked


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, None])
def test_transient_failures_are_tried_again(project, pauses, status):
    project.failures = [(status, {}, {}), (status, {}, {})]
    assert len(list(MaterialsProject().read("mp:SrTiO3"))) == 5
    assert pauses == [1.0, 2.0]


def test_the_server_says_how_long_to_wait(project, pauses):
    project.failures = [(429, {}, {"Retry-After": "17"}), (429, {}, {"Retry-After": "86400"})]
    assert len(list(MaterialsProject().read("mp:SrTiO3"))) == 5
    assert pauses == [17.0, 60.0]


def test_a_server_that_stays_down_is_one_error(project, pauses):
    project.failures = [(500, b"<html>down</html>", {})] * 99
    with pytest.raises(DataError, match="answers 500, also after 5 tries"):
        list(MaterialsProject().read("mp:SrTiO3"))
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_nobody_listens(monkeypatch, pauses):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv(ENDPOINT_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(DataError, match="cannot be reached"):
        list(MaterialsProject().read("mp:SrTiO3"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>hello</html>", "something else than JSON"),
        (b"[1, 2]", "another form"),
        ({"data": []}, "meta.total_doc"),
        ({"data": "x", "meta": {"total_doc": 3}}, "no list"),
        ({"data": [], "meta": {"total_doc": 0}}, "nothing"),
        ({"data": [], "meta": {"total_doc": 7}}, "nothing"),
    ],
)
def test_malformed_answers_are_one_error(project, body, message):
    project.answer = lambda *_: (200, body)
    with pytest.raises(DataError, match=message):
        list(MaterialsProject().read("mp:SrTiO3"))


def test_pages_that_do_not_add_up_are_an_error(project):
    documents = [document(0), document(1)]
    project.answer = lambda path, query, headers: (
        200,
        {"data": documents if query["_skip"] == "0" else [], "meta": {"total_doc": 9}},
    )
    with pytest.raises(DataError, match="only 2 of 9"):
        list(MaterialsProject().read("mp:SrTiO3"))


def test_malformed_documents_are_quarantined(project, tmp_path):
    bad = [document(1) | {"structure": None}, "text", document(3) | {"structure": {"lattice": {}, "sites": []}}]
    project.answer = summary([document(0), *bad])
    dataset = ingest("mp:SrTiO3", tmp_path / "out", executor=Serial())
    assert (len(dataset), len(dataset.quarantine)) == (1, 3)


def test_a_refused_key_is_not_shown(project, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "wrong-key")
    with pytest.raises(DataError, match="401") as caught:
        list(MaterialsProject().read("mp:SrTiO3"))
    assert "API key" in str(caught.value)
    assert "wrong-key" not in str(caught.value)


def test_a_redirect_does_not_carry_the_key_away(project):
    project.failures = [(302, {}, {"Location": project.url + "/elsewhere"})]
    with pytest.raises(DataError, match="302"):
        list(MaterialsProject().read("mp:SrTiO3"))
    assert len(project.requests) == 1


def test_without_a_key_nothing_is_asked(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        list(MaterialsProject().read("mp:SrTiO3"))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("mp:SrTiO3", {"formula": "SrTiO3"}),
        ("mp:mp-149, mp-13", {"material_ids": "mp-149,mp-13"}),
        ("mp:?elements=Li,P&energy_above_hull_max=0.05", {"elements": "Li,P", "energy_above_hull_max": "0.05"}),
        ("mp:Si", {"chemsys": "Si"}),
    ],
)
def test_spellings_of_queries(project, text, query):
    project.answer = lambda *_: (200, {"data": [document(0)], "meta": {"total_doc": 1}})
    list(MaterialsProject().read(text))
    asked = project.requests[0][1]
    assert {k: asked[k] for k in query} == query


@pytest.mark.parametrize("text", ["mp:", "mp:?", "mp:Sr TiO3!", "mp:../../x"])
def test_queries_that_make_no_sense(project, text):
    with pytest.raises(ConfigError, match="no query"):
        list(MaterialsProject().read(text))
    assert project.requests == []


# --- OPTIMADE --------------------------------------------------------------------------------------------------------


def entry(i, **changes):
    structure = (NACL if i % 2 else PEROVSKITE).copy()
    structure.scale_lattice(structure.volume * (1 + 0.2 * i))
    attributes = {
        "chemical_formula_reduced": "ClNa" if i % 2 else "O3SrTi",
        "lattice_vectors": structure.lattice.matrix.tolist(),
        "cartesian_site_positions": structure.cart_coords.tolist(),
        "species_at_sites": [s.specie.symbol for s in structure],
        "species": [
            {"name": name, "chemical_symbols": [name], "concentration": [1.0]}
            for name in sorted({s.specie.symbol for s in structure})
        ],
        "dimension_types": [1, 1, 1],
        "structure_features": [],
        "nsites": len(structure),
        "_oqmd_delta_e": -1.0 - i,
        **changes,
    }
    return {"id": f"o-{i}", "type": "structures", "attributes": attributes}


def paged(site, entries, link=lambda url: url):
    def answer(path, query, headers):
        if path != "/optimade/v1/structures":
            return 404, {"errors": [{"status": "404", "detail": "no such path"}]}
        start = int(query.get("page_offset", 0))
        more = start + 2 < len(entries)
        following = link(f"{site.url}{path}?page_offset={start + 2}") if more else None
        return 200, {
            "data": entries[start : start + 2],
            "links": {"next": following},
            "meta": {"more_data_available": more, "data_returned": len(entries)},
        }

    return answer


@pytest.mark.parametrize("link", [lambda url: url, lambda url: {"href": url, "meta": {}}])
def test_pages_of_optimade_become_a_data_set(site, pauses, tmp_path, link):
    site.answer = paged(site, [entry(i) for i in range(5)], link)
    source = f'optimade:{site.url}/optimade?filter=elements HAS "O"&response_fields=_oqmd_delta_e'
    dataset = ingest(source, tmp_path / "out", executor=Serial())
    assert dataset.table["id"].tolist() == [f"o-{i}" for i in range(5)]
    assert dataset.table["e_form"].tolist() == [-1.0, -2.0, -3.0, -4.0, -5.0]
    first = site.requests[0][1]
    assert first["filter"] == 'elements HAS "O"'
    assert "_oqmd_delta_e" in first["response_fields"].split(",")
    assert len(site.requests) == 3


def test_disorder_and_gaps_of_optimade_are_quarantined(site, pauses, tmp_path):
    mixed = [{"name": "Na", "chemical_symbols": ["Na", "K"], "concentration": [0.5, 0.5]}]
    hole = [{"name": "Na", "chemical_symbols": ["Na", "vacancy"], "concentration": [0.9, 0.1]}]
    other = {"name": "Cl", "chemical_symbols": ["Cl"], "concentration": [1.0]}
    site.answer = paged(
        site,
        [
            entry(0),
            entry(1, species=[*mixed, other]),
            entry(1, species=[*hole, other]),
            entry(1, structure_features=["implicit_atoms"]),
            entry(1, lattice_vectors=None),
            entry(1, dimension_types=[1, 1, 0]),
            entry(1, chemical_formula_reduced="KBr"),
            entry(1, cartesian_site_positions=[[0, 0, 0]]),
            "no entry",
            {"id": 7},
        ],
    )
    dataset = ingest(f"optimade:{site.url}/optimade/v1", tmp_path / "out", executor=Serial())
    assert dataset.table["id"].tolist() == ["o-0"]
    reasons = dataset.quarantine["reason"].tolist()
    expected = ["partial", "partial", "no positions", "lacks", "not periodic", "formula", "shape", "attributes"]
    assert all(word in reason for word, reason in zip([*expected, "attributes"], reasons, strict=True)), reasons


def test_optimade_that_leads_in_a_circle_or_away_is_an_error(site, pauses):
    source = f"optimade:{site.url}/optimade"
    site.answer = paged(
        site, [entry(i) for i in range(9)], lambda _: f"{site.url}/optimade/v1/structures?page_offset=0"
    )
    with pytest.raises(DataError, match="circle"):
        list(Optimade().read(source))
    site.answer = paged(site, [entry(i) for i in range(9)], lambda _: "http://example.invalid/x")
    with pytest.raises(DataError, match="elsewhere"):
        list(Optimade().read(source))
    site.answer = paged(site, [entry(i) for i in range(9)], lambda _: None)
    with pytest.raises(DataError, match="no link"):
        list(Optimade().read(source))


def test_what_optimade_says_of_an_error_is_passed_on(site, pauses):
    site.answer = lambda *_: (400, {"errors": [{"status": "400", "detail": "unknown property 'elemnts'"}]})
    with pytest.raises(DataError, match="unknown property 'elemnts'"):
        list(Optimade().read(f"optimade:{site.url}/optimade?filter=elemnts"))


@pytest.mark.parametrize(
    "text", ["optimade:", "optimade:ftp://x/y", "optimade:oqmd.org", "optimade:file:///etc/passwd"]
)
def test_addresses_that_are_none(text):
    with pytest.raises(ConfigError, match="no address"):
        list(Optimade().read(text))


def test_a_slow_server_is_given_up(site, pauses, monkeypatch):
    gate = threading.Event()

    def wait(*_):
        gate.wait(3)
        return 200, {}

    site.answer = wait
    client = WebClient(attempts=2)
    client._http.timeout = 0.2
    with pytest.raises(DataError, match="cannot be reached"):
        client.get(site.url)
    gate.set()
