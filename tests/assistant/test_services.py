"""Clients of literature services, against servers on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from matgen.assistant import services
from matgen.assistant.services import fetch
from matgen.errors import ConfigError, MatgenError

ARXIV = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom">
<entry><id>http://arxiv.org/abs/2401.00001v2</id><title>Oxide
 films</title><summary> We grow SrTiO3. </summary><published>2024-01-01T00:00:00Z</published>
<author><name>Jane Doe</name></author><author><name>Rick Roe</name></author>
<arxiv:doi>10.1/abc</arxiv:doi></entry></feed>"""
CROSSREF = {"title": ["Nitrides &amp; more"], "abstract": "<jats:p>GaN grows.</jats:p>", "DOI": "10.1/x"}
CROSSREF |= {"issued": {"date-parts": [[2020, 5]]}, "author": [{"given": "Jane", "family": "Doe"}]}
OPENALEX = {"title": "Zinc oxide", "abstract_inverted_index": {"ZnO": [0], "shines": [1]}, "publication_year": 2021}
OPENALEX |= {"doi": "https://doi.org/10.1/Y", "authorships": [{"author": {"display_name": "Jane Doe"}}]}
REPLIES = {
    "/arxiv": ARXIV,
    "/crossref": json.dumps({"message": {"items": [CROSSREF]}}),
    "/openalex": json.dumps({"results": [OPENALEX]}),
    "/nonsense": "<html>no</html>",
    "/bomb": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><feed xmlns="http://www.w3.org/2005/Atom">'
    "<entry><id>i</id><title>&a;</title><summary>s</summary></entry></feed>",
}


@pytest.fixture
def server():
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            where = urlsplit(self.path)
            seen.append((where.path, parse_qs(where.query)))
            busy = where.path == "/busy" and len(seen) < 3
            self.send_response(503 if busy else 404 if where.path == "/gone" else 200)
            if busy:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(REPLIES.get(where.path, REPLIES["/openalex"]).encode())

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", seen
    running.shutdown()


def test_arxiv(server):
    url, seen = server
    (found,) = fetch("arxiv", "oxides", n=3, address=f"{url}/arxiv")
    assert (found.id, found.title, found.text) == ("arXiv:2401.00001", "Oxide films", "We grow SrTiO3.")
    assert (found.authors, found.year, found.doi) == ("Jane Doe, Rick Roe", 2024, "10.1/abc")
    assert seen[0][1] == {"search_query": ["all:oxides"], "max_results": ["3"]}


def test_crossref(server):
    url, seen = server
    (found,) = fetch("crossref", "nitrides", address=f"{url}/crossref", mail="a@b.org")
    assert (found.title, found.text, found.year) == ("Nitrides & more", "GaN grows.", 2020)
    assert (found.id, found.authors) == ("DOI:10.1/x", "Jane Doe")
    assert seen[0][1]["mailto"] == ["a@b.org"]


def test_openalex(server):
    url, _ = server
    (found,) = fetch("openalex", "zinc", address=f"{url}/openalex")
    assert (found.title, found.text, found.year, found.doi) == ("Zinc oxide", "ZnO shines", 2021, "10.1/Y")


def test_a_busy_service_is_asked_again(server):
    url, seen = server
    assert len(fetch("openalex", "zinc", address=f"{url}/busy")) == 1
    assert len(seen) == 3


@pytest.mark.parametrize(("path", "why"), [("/gone", "404"), ("/nonsense", "format")])
def test_a_bad_reply_is_one_clear_error(server, path, why):
    url, _ = server
    with pytest.raises(MatgenError, match=why):
        fetch("crossref", "x", address=url + path)


def test_entities_are_not_followed(server):
    url, _ = server
    assert all("root:" not in d.title for d in fetch("arxiv", "x", address=f"{url}/bomb"))


def test_a_remote_request_is_audited_before_it_is_sent(monkeypatch, tmp_path):
    monkeypatch.setattr(services, "_get", lambda *_: (_ for _ in ()).throw(MatgenError("stopped")))
    with pytest.raises(MatgenError, match="stopped"):
        fetch("crossref", "secret plans", audit_log=tmp_path / "log")
    assert "secret plans" in (tmp_path / "log").read_text()


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match="Did you mean"):
        fetch("crosref", "x")
    with pytest.raises(ConfigError, match="1 to 200"):
        fetch("crossref", "x", n=5000)
