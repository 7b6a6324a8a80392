"""The page on constraints lists what there is."""

from __future__ import annotations

import re
from pathlib import Path

from pymatgen.core import Lattice, Structure

from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.specification import build_constraints

PAGE = (Path(__file__).parents[2] / "docs" / "constraints.md").read_text(encoding="utf-8")


def test_the_table_is_complete_and_true():
    listed = {name: roles.split(", ") for name, roles in re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", PAGE, re.MULTILINE)}
    assert listed == {name: list(kind.roles()) for name, kind in CONSTRAINTS}


def test_the_examples_of_ones_own_work(tmp_path):
    from matgen.registry import USER_FILES, load_user_file

    before = list(USER_FILES)
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)):
        path = tmp_path / f"mine{i}.py"
        path.write_text(block)
        load_user_file(path)
    try:
        heavy, light = build_constraints([{"heavy": {"low": 5}}, "lighter_than"])
        gold = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.08), ["Au"], [[0, 0, 0]])
        ice = Structure(Lattice.cubic(3.5), ["Li"], [[0, 0, 0]])
        assert heavy.check([gold, ice]).passed.tolist() == [True, False]
        assert light.check([gold, ice]).reasons == ("19.3 g/cm³ is too heavy", None)
    finally:
        USER_FILES[:] = before
        CONSTRAINTS._parts.pop("heavy")
        CONSTRAINTS._parts.pop("lighter_than")
