"""CIF, read by pymatgen and checked against the raw text, because a broken CIF is often read without complaint."""

from __future__ import annotations

import math
import re
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pymatgen.core import Composition, Element
from pymatgen.io.cif import CifParser, str2float

from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pymatgen.core import Structure

OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")

TWO_ORIGINS = frozenset(
    {48, 50, 59, 68, 70, 85, 86, 88, 125, 126, 129, 130, 133, 134, 137, 138, 141, 142, 201, 203, 222, 224, 227, 228}
)
"""Space groups of which the International Tables describe two choices of origin."""

CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")

VOLUME_TOLERANCE = 0.005
"""Largest relative difference between the volume in the CIF and that of its cell."""

SHARE_TOLERANCE = 0.01
"""Largest difference of an element's share of the atoms between the formula in the CIF and its atoms."""

FARTHEST_COORDINATE = 100.0
"""Fractional coordinates beyond this are taken for errors: their place in the cell would be lost to rounding."""


def split_blocks(text: str) -> list[tuple[str, str]]:
    """Name and text of each data block that holds a structure; a file without any counts as one block.

    Blocks that hold neither a cell nor atoms (authors, global remarks) are no structures and are left out where
    another block is one.
    """
    starts, in_text = [], False
    position = 0
    for line in text.splitlines(keepends=True):
        if line.startswith(";"):
            in_text = not in_text
        elif not in_text and line[:5].lower() == "data_":
            starts.append((position, line[5:].split("#")[0].strip()))
        position += len(line)
    bounds = pairwise([*starts, (len(text), "")])
    blocks = [(name, text[start:end]) for (start, name), (end, _) in bounds]
    with_structure = [block for block in blocks if "_cell_length_" in block[1] or "_atom_site_" in block[1]]
    return with_structure or [("", text)]


def read_cif(text: str) -> tuple[Structure, list[str]]:
    """The one structure in a CIF data block, and notes on what was repaired.

    Raises:
        DataError: The text cannot be read, or what was read contradicts what the text says: its cell, its formula,
            occupancies, symmetry.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser: Any = CifParser.from_str(text, check_cif=False)
            raw: dict[str, Any] = next(iter(parser.as_dict().values()), {})
            notes = list(_site_notes(raw))
            unclear = list(_unclear_elements(raw))
            structures = parser.parse_structures(primitive=False, on_error="raise")
    except DataError:
        raise
    except Exception as error:  # pymatgen raises a dozen unrelated types on broken text
        raise DataError(f"unreadable CIF: {_reason(error)}.") from error
    _check_symmetry(raw, parser.warnings)
    notes += _origin_notes(raw)
    _check_cell(raw, structures[0])
    _check_formula(raw, structures[0], unclear)
    return structures[0], notes + list(_repairs(parser.warnings))


def _reason(error: Exception) -> str:
    text = re.sub(r"^No structure parsed for section \d+ in CIF\.\s*", "", str(error))
    text = " ".join(text.split())[:200].rstrip(".")
    if re.fullmatch(r"'_\w+'", text):
        return f"{text} is missing"
    return text or type(error).__name__


def _site_notes(raw: Mapping[str, Any]) -> Iterator[str]:
    """Check the rows of the atom loop, which pymatgen drops or completes silently."""
    labels = _column(raw, "_atom_site_label") or _column(raw, "_atom_site_type_symbol")
    if not labels:
        raise DataError("unreadable CIF: no atoms.")
    for axis in "xyz":
        for label, text in zip(labels, _column(raw, f"_atom_site_fract_{axis}"), strict=False):
            value = _number(text)
            if not math.isfinite(value) or abs(value) > FARTHEST_COORDINATE:
                raise DataError(f"unreadable CIF: atom {label} has the coordinate {text!r}.")
    occupancies = _column(raw, "_atom_site_occupancy")
    for label, text in zip(labels, occupancies, strict=False):
        value = _number(text)
        if value < 0 or value > 1.001 or text.strip() == ".":
            raise DataError(f"occupancy: atom {label} has {text}.")
        if value == 0:
            yield f"atom {label} with occupancy 0 left out"
        if math.isnan(value):
            yield f"atom {label} without a number for its occupancy taken as fully occupied"


def _unclear_elements(raw: Mapping[str, Any]) -> Iterator[str]:
    """Symbols that pymatgen reads as an element although they say something else, such as ``Fo`` or ``Vac``."""
    for symbol in dict.fromkeys(_column(raw, "_atom_site_type_symbol") or _column(raw, "_atom_site_label")):
        letters = re.match(r"[A-Za-z]*", symbol)
        word = letters[0].capitalize() if letters else ""
        if not word:
            raise DataError(f"no element: {symbol!r}.")
        if word not in Element.__members__:
            yield symbol


def _check_symmetry(raw: Mapping[str, Any], warned: list[str]) -> None:
    number = raw.get("_symmetry_Int_Tables_number", raw.get("_space_group_IT_number", "1"))
    symbol = raw.get("_symmetry_space_group_name_H-M", raw.get("_space_group_name_H-M_alt", "P1"))
    operations = next((found for key in OPERATIONS if (found := _column(raw, key))), [])
    lowest = (
        len(operations) <= 1
        and str(number).strip() in {"1", "?", "."}
        and re.sub(r"[\s'\"]", "", str(symbol)).upper() in {"P1", "?", "."}
    )
    if not lowest and any("Defaulting to P1" in text for text in warned):
        raise DataError(f"symmetry: the CIF names space group {symbol} ({number}) but its operations cannot be read.")
    for text in warned:
        if "implicit hydrogens" in text:
            raise DataError("missing atoms: the CIF leaves out the positions of hydrogen.")


def _origin_notes(raw: Mapping[str, Any]) -> list[str]:
    """A note where operations come from a symbol that leaves the origin open; pymatgen knows origin 1 alone."""
    given = any(_column(raw, key) for key in OPERATIONS)
    number = str(raw.get("_symmetry_Int_Tables_number", raw.get("_space_group_IT_number", ""))).strip()
    symbol = str(raw.get("_symmetry_space_group_name_H-M", raw.get("_space_group_name_H-M_alt", "")))
    if given or not number.isdigit() or int(number) not in TWO_ORIGINS:
        return []
    if re.search(r":\s*2\s*$|\bZ\s*$", symbol):
        raise DataError(f"symmetry: {symbol} has its origin at choice 2, and the CIF lists no operations.")
    if re.search(r":\s*1\s*$|\bS\s*$", symbol):
        return []
    return ["no operations in the CIF: origin choice 1 assumed"]


def _check_cell(raw: Mapping[str, Any], structure: Structure) -> None:
    """Angles that no cell can have are silently bent by pymatgen; a stated volume tells of a damaged edge."""
    for name, value in zip(CELL, structure.lattice.parameters, strict=True):
        given = _number(raw.get(f"_cell_{name}"))
        if not math.isnan(given) and not math.isclose(given, value, rel_tol=1e-3, abs_tol=1e-3):
            raise DataError(f"cell: no cell has the given lengths and angles ({name.replace('_', ' ')} {given:g}).")
    volume = _number(raw.get("_cell_volume"))
    if not math.isnan(volume) and not math.isclose(volume, structure.volume, rel_tol=VOLUME_TOLERANCE):
        raise DataError(f"cell: the CIF says {volume:g} Å³, its edges and angles make {structure.volume:g} Å³.")


def _check_formula(raw: Mapping[str, Any], structure: Structure, unclear: list[str]) -> None:
    text = raw.get("_chemical_formula_sum")
    try:
        given = Composition(text if isinstance(text, str) else "")
    except (ValueError, KeyError):
        given = Composition()
    if not given:
        if unclear:
            raise DataError(f"unclear element: {unclear[0]!r}, and no formula in the CIF that tells.")
        return
    if not same_shares(given, structure.composition):
        raise DataError(
            f"formula: the CIF says {given.reduced_formula}, its atoms make {structure.composition.reduced_formula}."
        )
    contents, units = structure.composition.num_atoms, _number(raw.get("_cell_formula_units_Z"))
    possible = [given.num_atoms, units * given.num_atoms]  # some programs write the sum for the whole cell
    if not math.isnan(units) and not any(math.isclose(contents, n, rel_tol=SHARE_TOLERANCE) for n in possible):
        raise DataError(f"formula: the CIF says {possible[1]:g} atoms in the cell, its sites make {contents:g}.")


def same_shares(one: Composition, other: Composition, tolerance: float = SHARE_TOLERANCE) -> bool:
    """Whether every element makes up the same share of the atoms."""
    a, b = one.fractional_composition.get_el_amt_dict(), other.fractional_composition.get_el_amt_dict()
    return all(abs(a.get(symbol, 0.0) - b.get(symbol, 0.0)) <= tolerance for symbol in {*a, *b})


def _repairs(warned: list[str]) -> Iterator[str]:
    for text in warned:
        if "rounded to ideal values" in text:
            yield "coordinates close to fractions such as 1/3 rounded to them"
        elif "Pauling file corrections" in text:
            yield "corrected as a file of the Pauling database"


def _column(raw: Mapping[str, Any], key: str) -> list[str]:
    value = raw.get(key, [])
    return [value] if isinstance(value, str) else list(value)


def _number(text: object) -> float:
    """A number with its uncertainty in brackets taken off, NaN where there is none."""
    try:
        return math.nan if text in {".", "?"} else float(str2float(str(text)))
    except (ValueError, TypeError):
        return math.nan
