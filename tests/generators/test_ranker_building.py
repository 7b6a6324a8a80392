"""The command that makes the shipped ranker."""

from __future__ import annotations

import json

import pytest
from ase.build import bulk
from ase.io import write

from matgen.errors import DataError
from matgen.generators.base import CARD, WEIGHTS
from matgen.generators.ranker import SHIPPED_RANKER
from matgen.generators.ranker_building import gathered
from matgen.runtime import file_id


def test_ids_count_once_and_excluded_ones_do_not_count(tmp_path):
    salts = [bulk(f, "rocksalt", a=a) for f, a in (("NaCl", 5.64), ("KCl", 6.29), ("MgO", 4.21))]
    for name, frames in (("a", salts[:2]), ("b", salts[1:]), ("test", salts[2:])):
        (tmp_path / name).mkdir()
        for atoms in frames:
            write(tmp_path / name / f"{atoms.get_chemical_formula()}.extxyz", atoms)
    from matgen.data.ingest import ingest
    from matgen.execution import Serial

    for name in ("a", "b", "test"):
        ingest(tmp_path / name, tmp_path / f"{name}.set", executor=Serial())
    both = [tmp_path / "a.set", tmp_path / "b.set"]
    assert len(gathered(both)) == 3
    assert len(gathered(both, exclude=tmp_path / "test.set")) == 2
    with pytest.raises(DataError, match="no structure of at most 1 atoms"):
        gathered(both, max_atoms=1)


def test_the_shipped_ranker_says_what_it_was_made_of():
    card = json.loads((SHIPPED_RANKER / CARD).read_text())
    assert card["fingerprint"] == file_id(SHIPPED_RANKER / WEIGHTS)
    assert card["data"]["rows"] > 10_000
    assert "mp_20-test" in card["data"]["excluded"]
