"""Broken inputs as users have them, built from a fixed seed: each says what must become of it."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SEED = 20260101

LATTICE = Lattice.cubic(5.64)
NACL = Structure(
    LATTICE,
    ["Na"] * 4 + ["Cl"] * 4,
    [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5]],
)
PEROVSKITE = Structure(
    Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], [[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
)
CIF = NACL.to(fmt="cif")
POSCAR = NACL.to(fmt="poscar")


@dataclass(frozen=True)
class Case:
    """An input and its fate: ``kept`` rows of it stay; None stands for one error instead of a data set."""

    name: str
    file: str
    content: bytes | Callable[[Path], None]
    kept: int | None = 0
    options: tuple[tuple[str, object], ...] = ()


def all_cases() -> list[Case]:
    """Every broken input."""
    makers = (_cifs, _poscars, _frames, _tables, _encodings, _labels, _documents, _databases, _archives, _binaries)
    return [case for make in makers for case in make(np.random.default_rng(SEED))]


def _cif(name: str, text: str) -> Case:
    return Case(f"cif: {name}", "x.cif", text.encode())


def _changed(key: str, value: str) -> str:
    """The CIF with another value of one key."""
    lines = [f"{key}   {value}" if line.startswith(key) else line for line in CIF.splitlines()]
    return "\n".join(lines) + "\n"


def _with_atoms(rows: list[str], formula: str | None = None) -> str:
    """The CIF with other rows in its atom loop."""
    head, _, _ = CIF.partition("  Na  Na0")
    lines = [line for line in head.splitlines() if not (line.startswith("_chemical_formula") and formula is None)]
    if formula:
        lines = [f"_chemical_formula_sum   '{formula}'" if x.startswith("_chemical_formula_sum") else x for x in lines]
    return "\n".join([*lines, *rows]) + "\n"


def _atom(symbol: str, x: str = "0", y: str = "0", z: str = "0", occupancy: str = "1") -> str:
    return f"  {symbol}  {symbol}0  1  {x}  {y}  {z}  {occupancy}"


def _cifs(rng: np.random.Generator) -> Iterator[Case]:
    end = CIF.rindex("  1\n")
    for cut in sorted(rng.choice(np.arange(30, end), 24, replace=False)):
        yield _cif(f"cut after {cut} characters", CIF[:cut])
    for value in ("1000000", "0.001", "0", "-5.64", "nan", "inf", "?", "five", "1e300", "1e-300"):
        yield _cif(f"edge {value}", _changed("_cell_length_a", value))
    for value in ("0", "5", "180", "175", "200", "-90", "nan", "?", "1e9"):
        yield _cif(f"angle {value}", _changed("_cell_angle_alpha", value))
    all_120 = _changed("_cell_angle_alpha", "120")
    for key in ("_cell_angle_beta", "_cell_angle_gamma"):
        all_120 = "\n".join(f"{key}  120" if x.startswith(key) else x for x in all_120.splitlines())
    yield _cif("angles 120 120 120", all_120)
    yield _cif("million Å cell", CIF.replace("5.64000000", "1000000.0"))
    yield _cif("dense", CIF.replace("5.64000000", "2.2"))
    yield _cif("sparse", CIF.replace("5.64000000", "60.0"))
    for apart in (0.0, 1e-3, 0.01, 0.05, 0.2):
        rows = [_atom("Na"), _atom("Cl", f"{apart / 5.64 * 3:.6f}")]
        yield _cif(f"two atoms {3 * apart} Å apart", _with_atoms(rows))
    for occupancy in ("0.5", "1.5", "-1", ".", "nan", "0", "1e10"):
        rows = [_atom("Na", occupancy=occupancy), _atom("Cl", "0.5", "0.5", "0.5")]
        yield _cif(f"occupancy {occupancy}", _with_atoms(rows, "Na1 Cl1"))
    yield _cif("two elements at a site", _with_atoms([_atom("Na", occupancy="0.5"), _atom("K", occupancy="0.5")]))
    yield _cif("the same atom twice", _with_atoms([_atom("Na"), _atom("Na"), _atom("Cl", "0.5", "0.5", "0.5")]))
    for symbol in ("Xx", "Qq", "Fo", "X", "?", "12", "Vac", "Wat"):
        yield _cif(f"element {symbol}", _with_atoms([_atom(symbol), _atom("Cl", "0.5", "0.5", "0.5")]))
    for place in ("?", ".", "nan", "inf", "-inf", "1e9", "abc", "0,5", "1e400"):
        yield _cif(f"coordinate {place}", _with_atoms([_atom("Na", place), _atom("Cl", "0.5", "0.5", "0.5")]))
    yield _cif("formula of another compound", CIF.replace("'Na4 Cl4'", "'K4 Br4'"))
    yield _cif("formula with more atoms", CIF.replace("'Na4 Cl4'", "'Na4 Cl8'"))
    yield _cif(
        "space group without operations",
        "\n".join(x for x in CIF.replace("'P 1'", "'no group'").splitlines() if "symop" not in x and "x, y, z" not in x)
        .replace("_symmetry_Int_Tables_number   1", "_symmetry_Int_Tables_number   225")
        .replace("loop_\n_symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz", ""),
    )
    for key in ("_cell_length_b", "_cell_angle_gamma", " _atom_site_fract_z", " _atom_site_label"):
        yield _cif(f"without {key.strip()}", "\n".join(x for x in CIF.splitlines() if not x.startswith(key)))
    yield _cif("no atoms", _with_atoms([]))
    yield _cif("header only", CIF[: CIF.index("loop_")])
    yield _cif("text block never closed", CIF.replace("data_NaCl", "data_NaCl\n_publ_section_title\n;\nopen"))
    yield _cif("quote never closed", CIF.replace("'Na4 Cl4'", "'Na4 Cl4"))
    code = CIF.replace("'x, y, z'", '\'x, y, __import__("os").system("touch canary")\'')
    yield _cif("code in an operation", code.replace("'P 1'", "'F m -3 m'"))
    yield _cif("huge", CIF + "#" * 5_000_000)
    yield _cif("too many atoms", NACL.make_supercell([6, 6, 6], in_place=False).to(fmt="cif"))
    yield _cif("one line", CIF.replace("\n", " "))
    yield _cif("digits swapped for letters", CIF.replace("0.5", "O.5").replace("5.64", "S.64"))
    yield _cif("HTML instead of a CIF", "<!DOCTYPE html><html><body>404 Not Found</body></html>")


def _poscar(name: str, text: str) -> Case:
    return Case(f"poscar: {name}", "POSCAR", text.encode())


def _poscars(rng: np.random.Generator) -> Iterator[Case]:
    lines = POSCAR.splitlines()
    last = POSCAR.rindex("0.5")
    for cut in sorted(rng.choice(np.arange(5, POSCAR.rindex("\n", 0, last)), 12, replace=False)):
        yield _poscar(f"cut after {cut} characters", POSCAR[:cut])

    def line(number: int, text: str) -> str:
        return "\n".join([*lines[:number], text, *lines[number + 1 :]]) + "\n"

    yield _poscar("no elements", "\n".join([*lines[:5], *lines[6:]]).replace(" Na", "").replace(" Cl", ""))
    for scale in ("0", "nan", "inf", "1e6", "x", "0.1"):
        yield _poscar(f"scale {scale}", line(1, scale))
    for vector in ("5.64 0", "0 0 0", "nan 0 0", "a b c", "1e9 0 0", "0 5.64 0"):
        yield _poscar(f"vector {vector}", line(2, vector))
    for counts in ("4 3", "3 4", "4 5", "-4 4", "4", "4 x", "400000000 4", "0 0"):
        yield _poscar(f"counts {counts}", line(6, counts))
    yield _poscar("unknown element", line(5, "Na Qq"))
    yield _poscar("coordinate nan", line(8, "nan 0 0 Na"))
    yield _poscar("coordinate missing", line(8, "0.0 0.0"))
    yield _poscar("overlap", line(9, lines[8]))


def _xyz(name: str, text: str, kept: int = 0) -> Case:
    return Case(f"xyz: {name}", "x.extxyz", text.encode(), kept)


def _frame(lattice: str = "5.64 0 0 0 5.64 0 0 0 5.64", extra: str = "", atoms: list[str] | None = None) -> str:
    rows = atoms or [f"{s.specie} {s.x} {s.y} {s.z}" for s in NACL]
    return "\n".join([f"{len(rows)}", f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 {extra}', *rows]) + "\n"


def _frames(rng: np.random.Generator) -> Iterator[Case]:
    good = _frame()
    for cut in sorted(rng.choice(np.arange(1, good.rstrip().rindex("\n")), 12, replace=False)):
        yield _xyz(f"cut after {cut} characters", good[:cut])
    yield _xyz("eight numbers of lattice", _frame("5.64 0 0 0 5.64 0 0 0"))
    yield _xyz("ten numbers of lattice", _frame("5.64 0 0 0 5.64 0 0 0 5.64 1"))
    yield _xyz("no lattice", _frame().replace('Lattice="5.64 0 0 0 5.64 0 0 0 5.64" ', ""))
    yield _xyz("flat lattice", _frame("5.64 0 0 0 5.64 0 0 0 0"))
    yield _xyz("lattice nan", _frame("nan 0 0 0 5.64 0 0 0 5.64"))
    yield _xyz("million Å lattice", _frame("1e6 0 0 0 1e6 0 0 0 1e6"))
    yield _xyz("5 degree lattice", _frame("4 0 0 3.98 0.35 0 3.98 0.17 0.3", atoms=["Na 0 0 0"]))
    yield _xyz("slab", _frame(extra='pbc="T T F"'))
    yield _xyz("unknown element", _frame(atoms=["Qq 0 0 0"]))
    yield _xyz("dummy element", _frame(atoms=["X 0 0 0"]))
    for place in ("nan", "inf", "abc", "1e308"):
        yield _xyz(f"position {place}", _frame(atoms=[f"Na {place} 0 0", "Cl 2.8 0 0"]))
    yield _xyz("no positions", _frame().replace("pos:R:3", "force:R:3"))
    yield _xyz("overlap", _frame(atoms=["Na 0 0 0", "Cl 0.1 0 0"]))
    yield _xyz("lone atom in a void", _frame("60 0 0 0 60 0 0 0 60", atoms=["Na 0 0 0"]))
    for count in ("-8", "9", "7", "100000000", "8.0", "eight", "999999999999"):
        yield _xyz(f"count {count}", good.replace("8\n", f"{count}\n", 1))
    yield _xyz(
        "good, broken, good", good + good.replace("Na", "Qq") + _frame("3.9 0 0 0 3.9 0 0 0 3.9", atoms=["Po 0 0 0"]), 2
    )


def _table_text(rows: list[dict[str, object]]) -> str:
    return pd.DataFrame(rows).to_csv(index=False)


def _rows(n: int = 4, **columns: list[object]) -> list[dict[str, object]]:
    """Rows with different sound structures."""
    scaled = [PEROVSKITE.copy() for _ in range(n)]
    for i, structure in enumerate(scaled):
        structure.replace_species({"Sr": ["Sr", "Ba", "Ca", "Pb", "Eu", "Cd"][i % 6]})
        structure.scale_lattice(structure.volume * (1 + 0.001 * i))
    rows: list[dict[str, object]] = [
        {"material_id": f"m-{i}", "cif": s.to(fmt="cif"), "e_form": -1.0 - 0.1 * i} for i, s in enumerate(scaled)
    ]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=False):
            row[name] = value
    return rows


def _tables(rng: np.random.Generator) -> Iterator[Case]:
    text = _table_text(_rows())

    def case(name: str, content: str | bytes, kept: int | None, file: str = "x.csv", **options: object) -> Case:
        raw = content.encode() if isinstance(content, str) else content
        return Case(f"table: {name}", file, raw, kept, tuple(options.items()))

    yield case("header only", text.split("\n", 1)[0], None)
    yield case("no structure column", text.replace("cif", "structure_file"), None)
    yield case("header missing", text.split("\n", 1)[1], None)
    yield case("duplicate header", text.replace("e_form", "cif", 1), None)
    yield case("duplicate target", text.replace("material_id", "e_form", 1), None)
    yield case("wanted target absent", text, None, require=("band_gap",))
    yield case("target of a typo", text, None, require=("e_fomr",))
    yield case("unit unknown", text, None, units={"e_form": "furlong"})
    yield case("reader unknown", text, None, reader="cvs")
    yield case("wrong reader", text, None, reader="parquet")
    yield case("blank lines only", "\n\n\n", None)
    yield case("spaces only", "   ", None)
    packed = gzip.compress(text.encode())
    for part in (5, 12, len(packed) // 2, len(packed) - 6):
        yield case(f"gzip cut after {part} bytes", packed[:part], None, "x.csv.gz")
    yield case("gzip with a wrong sum", packed[:-8] + b"\x00" * 8, None, "x.csv.gz")
    yield case("text called gzip", text, 4, "x.csv.gz")
    yield case("gzip called text", packed, 4, "x.csv")
    for cut in sorted(rng.choice(np.arange(len(text) // 2, len(text) - 10), 8, replace=False)):
        whole = text[:cut].count("\nm-") - 1
        yield case(f"cut after {cut} characters", text[:cut], whole if text[:cut].count('"') % 2 else -1)
    yield case("row too long", text.rstrip() + ",1,2,3\n", 3)
    yield case("row too short", text + "m-9\n", 4)
    yield case("quote never closed", text.replace('"', "", 1), -1)
    yield case("structure missing", _table_text(_rows(cif=["", None])), 2)
    yield case("structures that are words", _table_text(_rows(cif=["rock salt"] * 4)), 0)
    yield case("structures that are numbers", _table_text(_rows(cif=[1, 2, 3, 4])), 0)
    yield case("structures cut", _table_text([{**r, "cif": str(r["cif"])[:200]} for r in _rows()]), 0)
    yield case("id repeated", _table_text(_rows(material_id=["same"] * 4)), 1)
    yield case("row repeated", _table_text(_rows() + _rows()), 4)
    yield case("structure repeated", _table_text(_rows() + _rows(material_id=list("abcd"))), 4)
    yield case("formula contradicts", _table_text(_rows(formula=["NaCl"] * 4)), 0)
    yield case("formula NaN of another", _table_text(_rows(formula=["NaN"] * 4)), 0)
    formulas = pd.DataFrame({"formula": ["NaN", "", "Qq2", "((((((", "Fe2O3", "Na" * 400], "target": range(6)})
    yield case("formulas", formulas.to_csv(index=False), 2)
    yield case("nested formula", "formula,target\n" + "(" * 5000 + "Na" + ")" * 5000 + ",1\n", 0)
    yield case("formula with a huge amount", "formula,target\nNa1e300Cl,1\nNa9999999999,1\n", 0)


def _encodings(rng: np.random.Generator) -> Iterator[Case]:
    text = _table_text(_rows(comment=["Å", "é", "ü", "ñ"]))
    for encoding in ("utf-8-sig", "latin-1", "utf-16", "cp1252"):
        raw = text.encode("cp1252" if encoding == "latin-1" else encoding)
        yield Case(f"table: in {encoding}", "x.csv", raw, 4)
    half = len(text) // 2
    yield Case("table: mixed encodings", "x.csv", text[:half].encode() + text[half:].encode("cp1252"), 4)
    yield Case("table: Windows line ends", "x.csv", text.replace("\n", "\r\n").encode(), 4)
    yield Case("table: old Macintosh line ends", "x.csv", text.replace("\n", "\r").encode(), 4)
    frame = pd.DataFrame(_rows())
    yield Case("table: semicolons", "x.csv", frame.to_csv(index=False, sep=";").encode(), 4)
    yield Case("table: tabs", "x.csv", frame.to_csv(index=False, sep="\t").encode(), 4)
    yield Case("table: index column", "x.csv", frame.to_csv().encode(), 4)
    yield Case("table: all quoted", "x.csv", frame.to_csv(index=False, quoting=1).encode(), 4)
    yield Case("table: decimal commas", "x.csv", frame.to_csv(index=False, sep=";", decimal=",").encode(), 4)
    yield Case("table: null bytes", "x.csv", text.encode().replace(b"Sr", b"S\x00", 4), -1)
    yield Case("cif: byte-order mark", "x.cif", b"\xef\xbb\xbf" + CIF.encode(), 1)
    yield Case("cif: utf-16", "x.cif", CIF.encode("utf-16"), 1)
    yield Case("cif: Windows line ends", "x.cif", CIF.replace("\n", "\r\n").encode(), 1)
    yield Case("cif: Latin-1 comment", "x.cif", b"# caf\xe9\n" + CIF.encode(), 1)
    yield Case("poscar: Windows line ends", "POSCAR", POSCAR.replace("\n", "\r\n").encode(), 1)
    noise = bytearray(text.encode())
    for place in rng.integers(0, len(noise), 40):
        noise[place] = int(rng.integers(128, 256))
    yield Case("table: 40 bytes flipped", "x.csv", bytes(noise), -1)


def _labels(rng: np.random.Generator) -> Iterator[Case]:
    def case(name: str, values: list[object], kept: int | None, **options: object) -> Case:
        raw = _table_text(_rows(6, e_form=values)).encode()
        return Case(f"label: {name}", "x.csv", raw, kept, tuple(options.items()))

    need = ("e_form",)
    yield case("meV in every row", [-1500.0, -900.0, -700.0, -2100.0, -300.0, -1100.0], None)
    yield case("meV in one row", [-1.5, -0.9, -0.7, -2100.0, -0.3, -1.1], 5)
    yield case("eV per cell in every row", [-15.0, -9.0, -17.0, -21.0, -13.0, -11.0], None)
    yield case("eV per cell, said so", [-15.0, -9.0, -17.0, -21.0, -13.0, -11.0], 6, units={"e_form": "eV/cell"})
    for word in ("", "nan", "inf", "-inf", "NaN", "None", "--", "1e999", "one", "True"):
        yield case(f"{word!r} where a number is needed", [word, -1, -1, -1, -1, -1], 5, require=need)
    yield case("none in any row", [""] * 6, None, require=need)
    yield case("words in every row", list("abcdef"), 0, require=need)
    yield case("impossible gap", [-1.0, 2.0, 2.0, 2.0, 2.0, 2.0], 5, rename={"e_form": "band_gap"})
    yield case("gap in meV", [1500.0, 2000.0, 900.0, 0.0, 1000.0, 700.0], None, rename={"e_form": "band_gap"})


def _documents(rng: np.random.Generator) -> Iterator[Case]:
    good = NACL.as_dict()

    def case(name: str, document: object, kept: int | None, file: str = "x.json") -> Case:
        raw = document if isinstance(document, str) else json.dumps(document)
        return Case(f"json: {name}", file, raw.encode(), kept)

    text = json.dumps(good)
    for cut in sorted(rng.choice(np.arange(1, len(text)), 8, replace=False)):
        yield case(f"cut after {cut} characters", text[:cut], None)
    yield case("empty list", [], None)
    yield case("empty dictionary", {}, None)
    yield case("a number", "42", None)
    yield case("a list of numbers", [1, 2, 3], 0)
    yield case("nested too deeply", "[" * 100_000 + "]" * 100_000, None)
    yield case("endless number", '{"lattice": {"matrix": ' + "9" * 5000 + '}, "sites": []}', None)
    yield case("another class", {"@module": "os", "@class": "system", "command": "touch canary"}, 0)
    yield case("callable", [{"@module": "os", "@callable": "system", "@bound": None}], 0)
    bait = {"@module": "os", "@callable": "system", "@bound": None}
    yield case("bait in a property", {**good, "sites": [{**s, "properties": {"p": bait}} for s in good["sites"]]}, 1)
    yield case("lattice nan", {**good, "lattice": {"matrix": [[float("nan"), 0, 0], [0, 5, 0], [0, 0, 5]]}}, 0)
    yield case("lattice of two vectors", {**good, "lattice": {"matrix": [[5, 0, 0], [0, 5, 0]]}}, 0)
    yield case("lattice of words", {**good, "lattice": {"matrix": "cubic"}}, 0)
    yield case("no sites", {**good, "sites": []}, 0)
    yield case("site without species", {**good, "sites": [{"abc": [0, 0, 0]}]}, 0)
    yield case("site without place", {**good, "sites": [{"species": [{"element": "Na", "occu": 1}]}]}, 0)
    site = good["sites"][0]
    for species in ([{"element": "Qq", "occu": 1}], [{"element": "Na", "occu": 0.5}], [{"element": 7}], []):
        yield case(f"species {species}", {**good, "sites": [{**site, "species": species}]}, 0)
    lines = "\n".join([text, text[:100], "", "null", "[1]", json.dumps(PEROVSKITE.as_dict())])
    yield case("lines, half of them broken", lines, 2, "x.jsonl")
    yield case("lines, empty", "\n\n", None, "x.jsonl")


def _databases(rng: np.random.Generator) -> Iterator[Case]:
    def foreign(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE diary (day TEXT)")
        connection.close()

    def empty(path: Path) -> None:
        from ase import Atoms
        from ase.db import connect

        database = connect(path)
        del database[database.write(Atoms("Na", cell=[4, 4, 4], pbc=True))]

    def molecules(path: Path) -> None:
        from ase import Atoms
        from ase.db import connect

        database = connect(path)
        database.write(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]))
        database.write(Atoms("Na", cell=[4, 4, 4], pbc=(True, True, False)))
        database.write(Atoms("NaCl", positions=[[0, 0, 0], [0.1, 0, 0]], cell=[4, 4, 4], pbc=True))
        database.write(Atoms("Po", cell=[3.35] * 3, pbc=True))

    yield Case("ase: another SQLite file", "x.db", foreign, None)
    yield Case("ase: no rows", "x.db", empty, None)
    yield Case("ase: molecules, slabs and overlaps", "x.db", molecules, 1)
    yield Case("ase: mark of SQLite only", "x.db", b"SQLite format 3\x00" + rng.bytes(2000), None)
    for cut in (50, 1000, 5000):
        yield Case(f"ase: cut after {cut} bytes", "x.db", lambda path, n=cut: _cut(path, molecules, n), None)


def _cut(path: Path, make: Callable[[Path], None], size: int) -> None:
    make(path)
    path.write_bytes(path.read_bytes()[:size])


def _archives(rng: np.random.Generator) -> Iterator[Case]:
    def packed(members: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        return buffer.getvalue()

    yield Case("zip: nothing known inside", "x.zip", packed({"readme.txt": "hello"}), None)
    yield Case("zip: half broken", "x.zip", packed({"a.cif": CIF, "b.cif": CIF[:300]}), 1)
    yield Case("zip: path that leaves the folder", "x.zip", packed({"../../canary.cif": CIF}), 1)
    yield Case("zip: cut", "x.zip", packed({"a.cif": CIF})[:400], None)
    damaged = bytearray(packed({"a.cif": CIF, "b.cif": PEROVSKITE.to(fmt="cif")}))
    damaged[200:210] = rng.bytes(10)
    yield Case("zip: damaged member", "x.zip", bytes(damaged), 1)
    yield Case("folder: empty", "x", lambda path: path.mkdir(), None)

    def unknown(path: Path) -> None:
        path.mkdir()
        (path / "notes.txt").write_text("hello")

    def mixed(path: Path) -> None:
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "a.cif").write_text(CIF)
        (path / "b.cif").write_text(CIF[:250])
        (path / "broken.db").write_bytes(b"none")
        (path / "notes.txt").write_text("hello")
        (path / ".hidden.cif").write_text("hidden")

    yield Case("folder: nothing known", "x", unknown, None)
    yield Case("folder: good and broken files", "x", mixed, 1)

    def parquet(path: Path) -> None:
        pd.DataFrame({"cif": [CIF, None, "x"], "e_form": [1.0, 2.0, None]}).to_parquet(path)

    def numbers(path: Path) -> None:
        pd.DataFrame({"a": [1, 2]}).to_parquet(path)

    def columns(path: Path) -> None:
        frame = {"numbers": [[11, 17], [11], [999]], "frac": [[0, 0, 0, 0.5, 0.5, 0.5], [0, 0], [0, 0, 0]]}
        pd.DataFrame({**frame, "cell": [[4.0, 0, 0, 0, 4.0, 0, 0, 0, 4.0]] * 3}).to_parquet(path)

    yield Case("parquet: rows missing", "x.parquet", parquet, 1)
    yield Case("parquet: no structures", "x.parquet", numbers, None)
    yield Case("parquet: odd structure columns", "x.parquet", columns, 1)
    yield Case("parquet: cut", "x.parquet", lambda path: _cut(path, parquet, 300), None)


def _binaries(rng: np.random.Generator) -> Iterator[Case]:
    for file in ("x.cif", "POSCAR", "x.extxyz", "x.csv", "x.parquet", "x.json", "x.db", "x.zip", "x.unknown", "x"):
        yield Case(f"binary: {file}", file, rng.bytes(3000), None)
        yield Case(f"empty: {file}", file, b"", 0 if file in {"x.cif", "POSCAR", "x.extxyz"} else None)
