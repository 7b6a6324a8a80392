"""Wishes, conversations, and the server for other assistants."""

import anyio
import pandas as pd
import pytest

from matgen.assistant.conversation import Conversation
from matgen.assistant.knowledge import knowledge, shipped_index
from matgen.assistant.mcp_server import ReadOnly, build_server
from matgen.data.candidates import Candidates


@pytest.fixture
def run(tmp_path, rocksalt, perovskite):
    table = pd.DataFrame({"id": ["a", "b"], "formula": ["NaCl", "SrTiO3"], "rank": [1, 2], "e_above_hull": [0.0, 0.08]})
    Candidates(table, [rocksalt, perovskite]).write(tmp_path / "mine")
    return tmp_path / "mine"


def test_each_line_goes_to_the_right_place(run):
    conversation = Conversation(shipped_index(), run)
    assert "NaCl (a)" in conversation.reply("which candidates lie below 50 meV?").text
    assert "hard spheres" in conversation.reply("Does the Goldschmidt factor take the ions as hard spheres?").text
    wish = conversation.reply("Generate 20 structures in the Li-P-S system with a band gap of 2 eV")
    assert wish.answer is None
    assert wish.command.endswith("--n 20 --chemical-system Li-P-S --set target.band_gap=2")


def test_the_server_offers_its_tools_over_the_protocol(run):
    from mcp.client.client import Client

    server = build_server(ReadOnly(shipped_index(), run.parent))

    async def talk():
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            good = await client.call_tool("ask_candidates", {"run": "mine", "question": "candidates without Sr"})
            bad = await client.call_tool("ask_candidates", {"run": "../../etc", "question": "candidates without Sr"})
            return tools, good, bad

    tools, good, bad = anyio.run(talk)
    assert {t.name for t in tools} >= {"ask_literature", "ask_candidates", "explain_candidate", "suggest_precursors"}
    assert all(t.annotations.read_only_hint and t.description for t in tools)
    assert "NaCl (a)" in good.content[0].text
    assert bad.is_error
    assert "outside the folder" in bad.content[0].text


def test_shipped_knowledge_has_unique_well_formed_dois():
    dois = [d.doi for d in knowledge()]
    assert len(dois) == len(set(dois)) >= 30
    assert all(doi.startswith("10.") and "/" in doi for doi in dois)


def test_stored_vectors_fit_the_shipped_text():
    """``store_vectors`` must run after an edit of the knowledge; otherwise the first answer is slow."""
    from safetensors import safe_open

    from matgen.assistant.knowledge import DATA, _state

    with safe_open(DATA / "knowledge.safetensors", framework="numpy") as file:
        assert file.metadata()["documents"] == _state()
