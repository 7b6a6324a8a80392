from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from matgen.report.funnel import funnel, group_reasons
from matgen.report.records import read_records


def test_counts_follow_from_the_records(finished):
    steps = funnel(read_records(finished))
    assert [s.stage for s in steps] == ["sample", "screen", "single_point", "hull", "rank"]
    assert [s.entered for s in steps] == [9, 9, 8, 8, 8]
    assert [s.rejected for s in steps] == [0, 1, 0, 0, 0]
    assert steps[-1].passed == 8
    assert steps[1].seconds == 1.5
    assert steps[0].seconds is None
    assert "apart" in steps[1].reasons[0][0]


def test_without_the_run_s_list_stages_come_from_the_rejected_rows(folder):
    (folder / "run.json").unlink()
    assert [(s.stage, s.entered, s.passed) for s in funnel(read_records(folder))] == [("screen", 9, 8)]


def test_reasons_that_differ_in_details_are_one_kind():
    found = group_reasons(["Na and Cl are 0.31 Å apart", "O and O are 0.4 Å apart", "Pb is toxic", "As is toxic"])
    assert found == [("… are … Å apart", 2), ("As is toxic", 1), ("Pb is toxic", 1)]
    assert group_reasons(["the same as ce962e3ff17e", "the same as 0877ec533b29"]) == [("the same as …", 2)]


def test_a_lone_reason_keeps_its_numbers_and_formulas_stay_whole():
    assert group_reasons(["matches SrTiO3 (mp-5229)"]) == [("matches SrTiO3 (mp-5229)", 1)]
    assert group_reasons(["Fe2O3 is 1", "Ca3(PO4)2 is 2"]) == [("… is …", 2)]
    assert group_reasons(["KCl is known", "Cu(SbO3)2 is known"]) == [("… is known", 2)]
    assert group_reasons(["the closest, Ge(+4) S(-1), is off", "the closest, K(+1), is off"]) == [
        ("the closest, …, is off", 2)
    ]
    assert group_reasons(["energy is NaN", "energy is NaN"]) == [("energy is NaN", 2)]
    assert group_reasons(["MP-20 has 27,740 rows", "MP-20 has 3 rows"]) == [("MP-20 has … rows", 2)]


def test_each_of_several_reasons_counts():
    assert group_reasons(["Pb is toxic; As is toxic", "As is toxic"]) == [("As is toxic", 2), ("Pb is toxic", 1)]


@given(st.lists(st.sampled_from(["a 1", "a 2", "b", "c 5.5 d", "c -1e3 d"]), max_size=30))
def test_no_reason_is_lost(reasons):
    counted = group_reasons(reasons)
    assert sum(n for _, n in counted) == len(reasons)
    assert [n for _, n in counted] == sorted((n for _, n in counted), reverse=True)
    assert len(counted) == len(Counter(r[0] for r in reasons))
