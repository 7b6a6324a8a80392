"""What the columns of the field's tables mean: ids, structures, formulas, splits, times, properties and units."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from matgen.data.property import PROPERTIES
from matgen.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Role = Literal[
    "id", "cif", "poscar", "document", "smiles", "selfies", "formula", "label", "split", "time", "set aside", "value"
]

NAMES: dict[Role, tuple[str, ...]] = {
    "cif": ("cif", "cif_string", "cif_text", "cif_str"),
    "poscar": ("poscar", "poscar_string"),
    "document": ("structure", "atoms"),
    "smiles": ("smiles", "canonical_smiles", "isomeric_smiles", "smiles_string", "smi"),
    "selfies": ("selfies",),
    "id": (
        "material_id",
        "id",
        "mp_id",
        "mpid",
        "jid",
        "entry_id",
        "task_id",
        "auid",
        "structure_id",
        "cif_id",
        "refcode",
        "row_id",
        "uid",
        "mol_id",
        "gdb_index",
        "compound_id",
        "cmpd_chemblid",
        "chembl_id",
        "zinc_id",
    ),
    "formula": (
        "formula",
        "pretty_formula",
        "formula_pretty",
        "reduced_formula",
        "full_formula",
        "chemical_formula",
        "composition",
        "true_composition",
    ),
    "label": ("name",),
    "split": ("split", "subset", "partition"),
    "time": ("year", "date", "time", "timestamp", "created_at", "last_updated"),
    "set aside": (
        "",
        "unnamed: 0",
        "index",
        "elements",
        "nelements",
        "nsites",
        "n_sites",
        "n_atoms",
        "natoms",
        "num_atoms",
        "spacegroup",
        "spacegroup.number",
        "spacegroup_number",
        "space_group",
        "space_group_number",
        "sg_number",
        "point_group",
        "volume",
        "z",
    ),
}
"""Spellings in order of preference.

A label may be a formula where there is no other. What is set aside is recomputed from the structure.
"""

ALIASES = {
    "formation_energy_per_atom": "e_form",
    "formation_energy_peratom": "e_form",
    "e_form_per_atom": "e_form",
    "enthalpy_formation_atom": "e_form",
    "formation_energy": "e_form",
    "_oqmd_delta_e": "e_form",
    "energy_above_hull": "e_above_hull",
    "e_hull": "e_above_hull",
    "ehull": "e_above_hull",
    "e_above_convex_hull": "e_above_hull",
    "hull_distance": "e_above_hull",
    "_oqmd_stability": "e_above_hull",
    "bandgap": "band_gap",
    "gap_pbe": "band_gap",
    "pbe_band_gap": "band_gap",
    "_oqmd_band_gap": "band_gap",
    "gap_ha": "homo_lumo_gap",
    "gap_ev": "homo_lumo_gap",
    "homo_ha": "homo",
    "lumo_ha": "lumo",
    "mu_d": "dipole_moment",
    "cv_cal_molk": "heat_capacity",
    "measured_log_solubility_in_mols_per_litre": "log10_solubility",
    "expt_kcal_mol": "hydration_free_energy",
}
"""Spellings of matgen's own properties."""

PEROV_5 = frozenset({"heat_all", "heat_ref", "dir_gap", "ind_gap"})
"""Columns by which the Perov-5 set is known; its energies of formation are given for a whole cell."""

ENERGY_PER_ATOM = {"eV/atom": 1.0, "meV/atom": 1e-3, "kJ/mol/atom": 1.0 / 96.48533212}
PER_CELL = {"eV/cell": 1.0, "meV/cell": 1e-3}
UNITS: dict[str, dict[str, float]] = {
    "eV/atom": ENERGY_PER_ATOM | PER_CELL,
    "eV": {"eV": 1.0, "meV": 1e-3, "Ha": 27.211386245981, "kJ/mol": 1.0 / 96.48533212, "kcal/mol": 1.0 / 23.060548},
    "kcal/mol": {"kcal/mol": 1.0, "kJ/mol": 1.0 / 4.184},
    "g/cm³": {"g/cm³": 1.0, "g/cm3": 1.0, "kg/m³": 1e-3, "kg/m3": 1e-3},
    "Å³": {"Å³": 1.0, "A3": 1.0, "nm³": 1e3, "bohr³": 0.529177210544**3},
}
"""Factors from a given unit to that of the property; values per cell are also divided by the number of atoms."""

SUFFIXES = {
    "ev_per_atom": "eV/atom",
    "ev_atom": "eV/atom",
    "mev_per_atom": "meV/atom",
    "mev_atom": "meV/atom",
    "ev_per_cell": "eV/cell",
    "gpa": "GPa",
    "mev": "meV",
    "kcal_mol": "kcal/mol",
    "ev": "eV",
    "ha": "Ha",
    "k": "K",
}
"""Units at the end of a column's name, longest first."""


def roles(columns: Sequence[str]) -> dict[str, Role]:
    """The role of each column; where several could be the id or the formula, the preferred spelling is it."""
    found: dict[str, Role] = dict.fromkeys(columns, "value")
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(plain(column), column)
    for role, names in NAMES.items():
        present = [by_name[name] for name in names if name in by_name]
        if role == "set aside":
            present = [column for column in columns if plain(column) in names]
        elif role in {"id", "formula"}:
            for column in present[1:]:
                found[column] = "set aside"
            present = present[:1]
        found.update(dict.fromkeys(present, role))
    return found


def plain(column: str) -> str:
    """Lower-case name with underscores for blanks."""
    return re.sub(r"\s+", "_", column.strip().lower()) if column.strip().lower() != "unnamed: 0" else "unnamed: 0"


def property_name(column: str, rename: dict[str, str]) -> str:
    """Name under which a column's values are kept: as the user says, matgen's own, or the column's."""
    if column in rename:
        return rename[column]
    base, _ = _named_unit(column)
    for name in (plain(column), base):
        known = ALIASES.get(name, name)
        if known in PROPERTIES:
            return known
    return column.strip()


def given_unit(column: str, name: str, columns: Iterable[str], units: dict[str, str]) -> tuple[str, str]:
    """Unit of a column's values and how it is known.

    Args:
        column: Name in the source.
        name: Name under which it is kept.
        columns: All columns of the source.
        units: What the user says, by either name.

    Returns:
        The unit (empty where unknown), and one of ``stated by the user``, ``in the column's name``, ``Perov-5``,
        ``assumed``, ``unknown``.
    """
    for key in (name, column):
        if key in units:
            return units[key], "stated by the user"
    if plain(column) in PEROV_5 | {"e_form"} and {plain(c) for c in columns} >= PEROV_5:
        return ("eV", "Perov-5") if plain(column).endswith("gap") else ("eV/cell", "Perov-5")
    _, unit = _named_unit(column)
    if unit:
        return unit, "in the column's name"
    return (PROPERTIES[name].unit, "assumed") if name in PROPERTIES else ("", "unknown")


def factor(name: str, unit: str) -> tuple[float, bool]:
    """Factor from ``unit`` to the unit of the property ``name``, and whether values are also divided by atoms.

    Raises:
        ConfigError: matgen does not know how to convert this unit.
    """
    if name not in PROPERTIES or unit in {"", PROPERTIES[name].unit}:
        return 1.0, False
    known = UNITS.get(PROPERTIES[name].unit, {})
    if unit not in known:
        raise ConfigError(f"{unit!r} is no unit of {name!r}.", where="units", fix=did_you_mean(unit, known))
    return known[unit], unit in PER_CELL


def _named_unit(column: str) -> tuple[str, str]:
    name = plain(column)
    if match := re.search(r"[_\s]*[(\[]([^)\]]+)[)\]]$", column.strip()):
        return plain(column.strip()[: match.start()]), match.group(1)
    for suffix, unit in SUFFIXES.items():
        if name.endswith(f"_{suffix}"):
            return name.removesuffix(f"_{suffix}"), unit
    return name, ""
