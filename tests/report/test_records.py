from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from matgen.errors import DataError
from matgen.report.records import read_records


def test_reads_a_folder_or_an_object_that_has_one(folder):
    for source in (folder, str(folder), SimpleNamespace(folder=folder)):
        records = read_records(source)
        assert len(records.table) == 8
        assert len(records.rejected) == 1
        assert records.run["protocol"]["potential"] == "chgnet-0.3.0"
        assert records.config["workflow"] == "textbook"
    assert list(records.table["rank"]) == list(range(1, 9))


def test_a_folder_without_candidates_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"candidates\.parquet") as caught:
        read_records(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_everything_but_candidates_may_be_absent(folder):
    for name in ("rejected.parquet", "run.json", "config.yaml", "environment.json"):
        (folder / name).unlink()
    records = read_records(folder)
    assert (len(records.table), len(records.rejected)) == (8, 0)
    assert (records.run, records.config, records.config_text, records.environment) == ({}, {}, "", {})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", "{", "JSON"),
        ("config.yaml", "a: [", "YAML"),
        ("candidates.parquet", "PAR", "Parquet"),
        ("rejected.parquet", "", "Parquet"),
    ],
)
def test_damaged_files_are_named(folder, name, content, says):
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=says) as caught:
        read_records(folder)
    assert name in str(caught.value)


def test_tables_without_needed_columns_are_refused(folder):
    path = folder / "rejected.parquet"
    pd.read_parquet(path).drop(columns="stage").to_parquet(path)
    with pytest.raises(DataError, match="no column stage"):
        read_records(folder)
