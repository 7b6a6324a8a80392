"""Molecules from a small library to a ranking, and what is refused before any work."""

from __future__ import annotations

import pandas as pd
import pytest
from rdkit import Chem

from matgen.data.candidates import Candidates
from matgen.data.molecules import is_flat, sketch
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.workflow.config import load_workflow
from matgen.workflow.molecules import judge_novelty
from matgen.workflow.run import run

LIBRARY = ["CC(=O)Nc1ccccc1", "COc1ccc(CN)cc1", "O=C(NCc1ccncc1)C1CC1", "CCOC(=O)c1ccccc1F", "CN(C)C(=O)CO"]


def test_from_a_library_to_ranked_molecules_with_geometries(tmp_path):
    pytest.importorskip("tblite")
    (tmp_path / "library.csv").write_text("smiles\n" + "\n".join(LIBRARY) + "\n")
    config = {
        "workflow": "molecules",
        "data": {"source": str(tmp_path / "library.csv")},
        "sample": [{"model": "recombination", "n": 12}],
        "quantum": {"n": 2},
    }
    done = run(config, out=tmp_path / "run", executor=Serial())
    found = done.candidates
    assert 1 <= len(found) <= 2
    assert len(found) + len(found.rejected) == 12
    assert not set(found.table["smiles"]) & set(LIBRARY)
    assert found.table["novel"].all()
    assert not any(map(is_flat, found.structures))
    assert found.table[["xtb_gap", "log10_solubility", "log10_solubility_std", "qed"]].notna().all(axis=None)
    assert set(found.rejected["stage"]) <= {"screen", "novelty", "quantum"}
    read = [m for m in Chem.SDMolSupplier(str(tmp_path / "run" / "candidates.sdf")) if m is not None]
    assert [Chem.MolToSmiles(m) for m in read] == list(found.table["smiles"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert found.table.at[0, "smiles"] in page.replace("&#61;", "=").replace("&#43;", "+")


def test_novelty_is_by_canonical_spelling():
    table = pd.DataFrame({"id": ["a", "b", "c"], "smiles": ["CCO", "CCN", "CCO"]})
    found = judge_novelty(Candidates(table, [sketch(s) for s in table["smiles"]]), ["NCC", "bad("])
    assert list(found.table["id"]) == ["a"]
    assert list(found.rejected["reason"]) == ["known", "repeats another candidate"]
    kept = judge_novelty(Candidates(table[:2], [sketch("CCO"), sketch("CCN")]), ["NCC"], reject_known=False)
    assert list(kept.table["novel"]) == [True, False]
    assert kept.table.at[1, "similarity_known"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sample": [{"model": "recombination"}]}, "no library"),
        ({"data": {"source": "nowhere.csv"}}, "no such file"),
        ({"sample": [{"model": "recombination", "config": {"library": "x"}}], "predict": {"properties": ["x"]}}, "'x'"),
    ],
)
def test_what_could_only_fail_later_is_refused_at_once(change, words):
    with pytest.raises(ConfigError, match=words):
        load_workflow({"workflow": "molecules", **change})
