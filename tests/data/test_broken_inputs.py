import re
from collections import Counter

import pytest
from broken_inputs import all_cases

from matgen.data.dataset import Dataset
from matgen.data.ingest import ingest, ingest_options
from matgen.errors import MatgenError
from matgen.execution import Pool

CASES = all_cases()


@pytest.fixture(scope="module")
def pool():
    with Pool(1, memory=2.0) as pool:
        yield pool


def test_there_are_at_least_200_of_them():
    assert len(CASES) >= 200
    assert max(Counter(case.name for case in CASES).values()) == 1


@pytest.mark.parametrize("case", CASES, ids=[re.sub(r"[^\w. ]+", " ", case.name) for case in CASES])
def test_broken_input(case, tmp_path, pool, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "in" / case.file
    source.parent.mkdir()
    if callable(case.content):
        case.content(source)
    else:
        source.write_bytes(case.content)
    options = dict(case.options)
    if case.kept is None:
        with pytest.raises(MatgenError) as caught:
            ingest(source, tmp_path / "out", ingest_options(seconds=4.0, **options), executor=pool)
        assert "Traceback" not in str(caught.value)
        assert len(str(caught.value)) < 600
        assert not (tmp_path / "out").exists()
    else:
        dataset = ingest(source, tmp_path / "out", ingest_options(seconds=4.0, **options), executor=pool)
        check(dataset, case.kept)
    assert not list(tmp_path.rglob("canary*"))


def check(dataset: Dataset, kept: int) -> None:
    rows = dataset.card["rows"]
    assert rows["in"] == rows["kept"] + rows["quarantined"] == len(dataset) + len(dataset.quarantine) > 0
    assert dataset.quarantine["reason"].str.len().gt(5).all()
    assert dataset.quarantine["stage"].notna().all()
    assert not dataset.quarantine["reason"].str.contains("Traceback").any()
    if kept >= 0:
        assert len(dataset) == kept, dataset.quarantine["reason"].tolist()
    assert len(Dataset.open(dataset.path)) == len(dataset)
