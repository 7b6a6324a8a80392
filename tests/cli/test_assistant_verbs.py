"""The assistant's verbs from the command line: corpus, ask, chat, monitor."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from matgen.assistant.corpus import Corpus
from matgen.assistant.knowledge import knowledge
from matgen.assistant.monitoring import read_log
from matgen.cli import app

NOTE = (
    "# Barium titanate\n\nBarium titanate is ferroelectric below 393 K. It has a tetragonal cell at room temperature."
)


def verb(*arguments, said=""):
    found = CliRunner().invoke(app, [str(a) for a in arguments], input=said)
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MATGEN_HOME", str(tmp_path / "home"))
    (tmp_path / "note.md").write_text(NOTE)
    row = {"id": "1", "doi": "10.1/x", "target": "BaTiO3", "precursors": ["BaCO3", "TiO2"]}
    (tmp_path / "syntheses.jsonl").write_text(json.dumps(row))
    return tmp_path


def test_recipes_that_were_added_answer_how_a_material_is_made(home):
    assert "matgen corpus add" in verb("ask", "How is BaTiO3 made?")
    assert "recipes: 1" in verb("corpus", "add", home / "note.md", home / "syntheses.jsonl")
    assert "syntheses.jsonl  1 recipes" in " ".join(verb("corpus", "list").split("\n"))
    assert "BaCO3 and TiO2" in verb("ask", "How is BaTiO3 made?")
    assert "removed: 1" in verb("corpus", "remove", home / "syntheses.jsonl")
    assert "BaCO3 and TiO2" not in verb("ask", "How is BaTiO3 made?")


def test_a_chat_answers_line_by_line_and_logs_what_it_answered(home):
    verb("corpus", "add", home / "note.md")
    log = home / "log.jsonl"
    said = verb("chat", "--log", log, said="Below which temperature is barium titanate ferroelectric?\n\n")
    assert "393 K. [1]" in said
    (row,) = read_log(log)
    assert (row["backend"], row["refused"], row["groundedness"]) == ("extractive", False, 5)
    assert json.loads(verb("monitor", log, "--json"))["answers"] == 1


def test_what_a_service_returns_joins_the_shipped_knowledge(home):
    item = {"title": "Zinc oxide", "abstract_inverted_index": {"ZnO": [0], "shines": [1]}, "publication_year": 2021}
    item |= {"doi": "https://doi.org/10.1/Y", "authorships": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"results": [item]}).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        verb("corpus", "fetch", "openalex", "zinc oxide", "--address", f"http://127.0.0.1:{server.server_port}/works")
    finally:
        server.shutdown()
    ids = {d.id for d in Corpus(home / "home" / "corpus").documents}
    assert ids == {d.id for d in knowledge()} | {"DOI:10.1/Y"}
