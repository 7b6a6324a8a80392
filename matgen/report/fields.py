"""The columns of the candidate table as a reader meets them: names, units, digits, and how a cell is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from markupsafe import Markup, escape
from pymatgen.symmetry.groups import sg_symbol_from_int_number

from matgen.data.property import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

NOTHING = "–"
"""Stands for a value that the records do not hold."""

Kind = Literal["number", "whole", "flag", "text", "formula", "space_group"]


@dataclass(frozen=True)
class Field:
    """A column.

    Args:
        name: Its name in the table.
        label: Its heading.
        help: One sentence that explains it.
        kind: How its cells are written.
        unit: Unit of its numbers.
        digits: Digits after the decimal point.
    """

    name: str
    label: str
    help: str
    kind: Kind = "text"
    unit: str = ""
    digits: int = 2


FIELDS: tuple[Field, ...] = (
    Field("rank", "Rank", "Place in the ranking, best first.", "whole"),
    Field("formula", "Formula", "Reduced formula.", "formula"),
    Field("space_group", "Space group", "Symmetry of the relaxed structure.", "space_group"),
    Field("n_atoms", "Atoms", "Atoms in the cell.", "whole"),
    Field(
        "e_above_hull",
        "E above hull",
        "Energy above the convex hull of reference energies from the same potential; lower is more stable.",
        "number",
        "eV/atom",
        3,
    ),
    Field("e_form", "Formation energy", "Energy of formation from the elements.", "number", "eV/atom", 3),
    Field("band_gap", "Band gap", "Predicted PBE band gap, which underestimates experiment.", "number", "eV"),
    Field("desirability", "Desirability", "0 to 1: how well all objectives are met together.", "number", "", 3),
    Field("pareto_front", "Pareto front", "1: no candidate is better in every objective.", "whole"),
    Field("valid", "Valid", "Passed every check of chemistry and geometry.", "flag"),
    Field("unique", "Unique", "Differs from all other candidates of the run.", "flag"),
    Field("novel", "New", "Matches no structure of the novelty reference.", "flag"),
    Field("in_domain", "In domain", "Resembles the training data of the property model.", "flag"),
    Field("domain_distance", "Distance from data", "From the training data of the models; 1 is the edge.", "number"),
    Field("relax_status", "Relaxation", "How the relaxation ended."),
    Field("reference_entries", "Known in system", "Compounds of the reference hull in the chemical system.", "whole"),
    Field("nearest_known", "Nearest known", "The most similar compound of the novelty reference."),
    Field("generator", "Generator", "What proposed the structure."),
    Field("id", "Id", "Content hash; the name of the candidate in every file."),
)
KNOWN = {field.name: field for field in FIELDS}


def field_of(name: str) -> Field:
    """The field called ``name``; a column that is not listed is described by its property, or by its name."""
    if name in KNOWN:
        return KNOWN[name]
    if name in PROPERTIES:
        prop = PROPERTIES[name]
        return Field(name, prop.label, prop.note, "number", prop.unit)
    return Field(name, name.replace("_", " "), "", "number")


def predicted(table: pd.DataFrame) -> list[str]:
    """Columns that come with a standard deviation: the predicted properties, without earlier estimates of them."""
    return [str(name) for name in table.columns if f"{name}_std" in table and not str(name).endswith("_unrelaxed")]


def number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def fixed(value: float, digits: int) -> str:
    """A number with so many digits, a true minus sign, and no minus before zero."""
    return f"{value:z.{digits}f}".replace("-", "−")


def flag(value: Any) -> bool | None:
    """A truth value, or None where it is missing."""
    return bool(value) if isinstance(value, bool | np.bool_) else None


def written(field: Field, row: Mapping[str, Any]) -> Markup:
    """The cell of a row as safe HTML, with its standard deviation where there is one."""
    value = row.get(field.name)
    if field.kind in {"number", "whole"}:
        return escape(_number_text(field, row))
    if field.kind == "flag":
        return escape({True: "yes", False: "no", None: NOTHING}[flag(value)])
    if field.kind == "formula":
        return formula(str(value))
    if field.kind == "space_group":
        return space_group(value)
    return escape(NOTHING if is_missing(value) else str(value))


def formula(text: str) -> Markup:
    """A formula with its counts lowered: ``SrTiO3`` becomes SrTiO<sub>3</sub>."""
    pieces = re.split(r"(?<=[A-Za-z)\]])(\d+(?:\.\d+)?)", text)
    return Markup("").join(Markup("<sub>{}</sub>").format(p) if i % 2 else escape(p) for i, p in enumerate(pieces))


def space_group(value: Any) -> Markup:
    """Hermann-Mauguin symbol with the number behind it; text stays as it is."""
    whole = number(value)
    if whole is None or not 1 <= whole <= 230:
        return escape(NOTHING if is_missing(value) else str(value))
    return Markup('{} <span class="minor">({})</span>').format(_symbol(int(whole)), int(whole))


def texts(value: Any) -> list[str]:
    """Entries of a cell that holds a list, or one string with semicolons."""
    if is_missing(value):
        return []
    parts = value.split(";") if isinstance(value, str) else value if isinstance(value, Iterable) else [value]
    return [text for part in parts if (text := str(part).strip())]


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return str(value) in {"", "<NA>", "NaT"}


def _number_text(field: Field, row: Mapping[str, Any]) -> str:
    value, spread = number(row.get(field.name)), number(row.get(f"{field.name}_std"))
    if value is None:
        return NOTHING
    digits = 0 if field.kind == "whole" else field.digits
    text = fixed(value, digits)
    return text if spread is None else f"{text} ± {spread:.{digits}f}"


def _symbol(number: int) -> Markup:
    """International short symbol: monoclinic ones drop the axes without symmetry, P12_1/c1 becomes P2_1/c."""
    symbol = re.sub(r"^([A-Z])1(.+)1$", r"\1\2", sg_symbol_from_int_number(number))
    barred = re.sub(r"-(\d)", lambda m: f'<span class="over">{m[1]}</span>', str(escape(symbol)))
    return Markup('<span class="hm">{}</span>').format(Markup(re.sub(r"_(\d)", r"<sub>\1</sub>", barred)))  # noqa: S704
