"""The assistant's verbs from the command line: corpus, ask, chat, monitor."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from matgen.assistant.corpus import Corpus
from matgen.assistant.knowledge import knowledge
from matgen.assistant.monitoring import default_log, read_log
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


def test_grades_are_kept_unless_the_user_says_no(home):
    verb("corpus", "add", home / "note.md")
    question = "Below which temperature is barium titanate ferroelectric?"
    verb("ask", question, "--no-log")
    assert not default_log().exists()
    verb("ask", question)
    (row,) = read_log(default_log())
    assert (row["question"], row["groundedness"]) == (question, 5)
    assert json.loads(verb("monitor", "--json"))["answers"] == 1


def test_an_answer_survives_a_log_that_cannot_be_written(home, caplog):
    verb("corpus", "add", home / "note.md")
    default_log().mkdir()
    assert "393 K. [1]" in verb("ask", "Below which temperature is barium titanate ferroelectric?")
    assert "could not be kept" in caplog.text


@contextmanager
def serving(reply):
    """A server on this machine that answers each request with the JSON of ``reply(body)``; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(reply(body)).encode())

        do_POST = do_GET  # noqa: N815 - the name is the base class's

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def test_answers_that_a_model_does_not_grade_keep_their_other_grades(home):
    rows = [{"question": "Is it dense?", "answer": f"The film is {word}."} for word in ("dense", "porous")]
    (home / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (home / "mute.jsonl").write_text(json.dumps(rows[1]))

    def reply(body):
        return {"choices": [{"message": {"content": "4" if "is dense" in body else "Splendid!"}}]}

    with serving(reply) as address:
        (home / "model.yaml").write_text(f"kind: openai\nbase_url: {address}/v1\n")
        found = json.loads(verb("judge", home / "answers.jsonl", "--config", home / "model.yaml", "--json"))["answers"]
        refused = CliRunner().invoke(app, ["judge", str(home / "mute.jsonl"), "--config", str(home / "model.yaml")])
    assert set(found[0]["model_grades"].values()) == {4}
    assert "holds no grade" in found[1]["model_problem"]
    assert set(found[1]["grades"]) == {"relevance", "coherence", "fluency"}
    assert "graded no answer" in str(refused.exception)


def test_what_a_service_returns_joins_the_shipped_knowledge(home):
    item = {"title": "Zinc oxide", "abstract_inverted_index": {"ZnO": [0], "shines": [1]}, "publication_year": 2021}
    item |= {"doi": "https://doi.org/10.1/Y", "authorships": []}

    with serving(lambda _: {"results": [item]}) as address:
        verb("corpus", "fetch", "openalex", "zinc oxide", "--address", f"{address}/works")
    ids = {d.id for d in Corpus(home / "home" / "corpus").documents}
    assert ids == {d.id for d in knowledge()} | {"DOI:10.1/Y"}
