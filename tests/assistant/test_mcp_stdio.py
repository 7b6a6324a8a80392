"""The server really started: another process, the protocol over its standard input and output."""

import os
import sys

import anyio
import pandas as pd

from matgen.data.candidates import Candidates


def test_another_process_lists_and_calls_the_tools(tmp_path, rocksalt):
    from mcp.client.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    table = pd.DataFrame({"id": ["a"], "formula": ["NaCl"], "rank": [1], "e_above_hull": [0.0]})
    Candidates(table, [rocksalt]).write(tmp_path / "mine")
    arguments = ["-m", "matgen", "mcp", "--root", str(tmp_path), "--corpus", str(tmp_path / "none")]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ), cwd=tmp_path)

    async def talk():
        async with Client(stdio_client(server)) as client:
            tools = (await client.list_tools()).tools
            asked = await client.call_tool("ask_candidates", {"run": "mine", "question": "candidates without Sr"})
            wish = await client.call_tool("understand_wish", {"text": "20 lead-free oxides in space group 221"})
            return tools, asked, wish

    tools, asked, wish = anyio.run(talk)
    assert {t.name for t in tools} >= {"ask_literature", "ask_candidates", "explain_candidate", "understand_wish"}
    assert "NaCl (a)" in asked.content[0].text
    assert "--space-group 221" in wish.content[0].text
