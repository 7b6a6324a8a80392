import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matgen.data.splits import assign_splits, chemical_system, shared_formulas
from matgen.errors import ConfigError

FORMULAS = ["NaCl", "KCl", "SrTiO3", "BaTiO3", "Fe2O3", "FeO", "Si", "GaAs", "LiFePO4", "NaN"]


def table(rng, n):
    formulas = rng.choice(FORMULAS, n)
    # Rows of one group have one formula, as the gate makes them.
    group = [int(np.flatnonzero(formulas == f)[0]) if rng.random() < 0.3 else i for i, f in enumerate(formulas)]
    return pd.DataFrame({"formula": formulas, "group": group, "year": rng.integers(1990, 2020, n)})


@given(st.integers(0, 2**31), st.integers(1, 60), st.sampled_from(["random", "formula", "chemical_system"]))
@settings(max_examples=100, deadline=None)
def test_nothing_lies_in_two_splits(seed, n, by):
    rng = np.random.default_rng(seed)
    rows = table(rng, n)
    rows["split"] = assign_splits(rows, by, rng=rng)
    unit = {
        "random": rows["group"],
        "formula": rows["formula"],
        "chemical_system": rows["formula"].map(chemical_system),
    }[by]
    assert rows.groupby(unit)["split"].nunique().max() == 1
    assert rows.groupby("group")["split"].nunique().max() == 1
    if by != "random":
        assert shared_formulas(rows) == {}


@given(st.integers(0, 2**31), st.integers(3, 200))
@settings(max_examples=50, deadline=None)
def test_time_puts_the_young_behind_the_old(seed, n):
    rows = table(np.random.default_rng(seed), n)
    rows["split"] = assign_splits(rows, "time")
    years = rows.groupby("split")["year"]
    last = -1
    for split in ("train", "val", "test"):
        if split in years.groups:
            assert years.get_group(split).min() > last
            last = years.get_group(split).max()


def test_shares_are_met_and_seeds_repeat():
    rows = pd.DataFrame({"formula": [f"Na{i}Cl" for i in range(1, 1001)]})
    one, two, three = (assign_splits(rows, "random", rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert one == two != three
    assert (one.count("train"), one.count("val"), one.count("test")) == (800, 100, 100)
    none = assign_splits(rows, "formula", fractions=(0.9, 0.0, 0.1), rng=np.random.default_rng(0))
    assert none.count("val") == 0


def test_dates_are_understood_and_nonsense_is_refused():
    rows = pd.DataFrame({"formula": ["Si"] * 4, "date": ["2001-05-01", "1999-01-01", "2020-12-31", "2010-01-01"]})
    assert assign_splits(rows, "time", fractions=(0.5, 0.25, 0.25)) == ["train", "train", "test", "val"]
    with pytest.raises(ConfigError, match="neither"):
        assign_splits(rows.assign(date="soon"), "time")
    with pytest.raises(ConfigError, match="shares"):
        assign_splits(rows, "random", fractions=(0.5, 0.1, 0.1), rng=np.random.default_rng(0))
    with pytest.raises(ConfigError, match="when"):
        assign_splits(rows[["formula"]], "time")


def test_formulas_in_two_splits_are_counted():
    rows = pd.DataFrame({"formula": ["Si", "Si", "Ge", "Ge"], "split": ["train", "test", "test", None]})
    assert shared_formulas(rows) == {"test and train": 1}
