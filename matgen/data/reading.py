"""From the content of a record to a structure, strictly: what is read must be what the text says."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure
from pymatgen.io.vasp.inputs import BadPoscarWarning, Poscar

from matgen.data.cif import FARTHEST_COORDINATE, read_cif
from matgen.data.structures import from_atoms
from matgen.elements import symbols
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ase import Atoms

    from matgen.data.records import Format

LONGEST_TEXT = 4 * 1024 * 1024
"""Characters in the text of one structure."""

LONGEST_FORMULA = 300
FULL = 0.005
"""An atom whose occupancy is so close to 1 counts as fully occupied."""


@dataclass(frozen=True)
class Reading:
    """What a record holds.

    Args:
        structure: The structure as given, which may be disordered; None for a formula.
        composition: Composition of the structure or formula.
        values: Numbers and words that the content itself carries, such as an energy.
        notes: What was repaired.
    """

    structure: Structure | None
    composition: Composition
    values: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_content(kind: Format, content: str | Mapping[str, Any]) -> Reading:
    """Read the content of a record.

    Raises:
        DataError: It cannot be read, or the reading contradicts the text.
    """
    if len(content) == 0:
        raise DataError("unreadable: empty.")
    if isinstance(content, str) and len(content) > LONGEST_TEXT:
        raise DataError(f"unreadable: {len(content):,} characters are too many for one structure.")
    if isinstance(content, str):
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    try:
        reading = READ[kind](content)
        if not reading.composition:
            raise DataError(f"unreadable {kind}: no atoms.")
        return reading
    except DataError:
        raise
    except TimeoutError as error:
        raise DataError(f"unreadable: {error}.") from error
    except Exception as error:  # parsers raise a dozen unrelated types on broken content
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise DataError(f"unreadable {kind}: {reason}.") from error


def settled(structure: Structure) -> tuple[Structure, tuple[str, ...]]:
    """The structure with one neutral element at each site, and notes on what that took.

    Raises:
        DataError: A site is shared, partly occupied, or holds no element.
    """
    found, notes = [], set()
    for site in structure:
        (species, occupancy), *others = site.species.items() or [(None, 0.0)]
        if species is None or species.symbol not in Element.__members__:
            raise DataError(f"no element: {species}.")
        if others or abs(occupancy - 1.0) > FULL:
            raise DataError(f"partial occupancy: {site.species_string} at one site.")
        if occupancy != 1.0:
            notes.add(f"occupancies within {FULL} of 1 set to 1")
        if getattr(species, "oxi_state", None):
            notes.add("oxidation states left out")
        if species.symbol in {"D", "T"}:
            notes.add("isotopes of hydrogen taken as hydrogen")
        found.append(Element(species.symbol).Z)
    return Structure(structure.lattice, found, structure.frac_coords), tuple(sorted(notes))


def read_formula(text: str) -> Composition:
    """Composition of a formula; ``NaN`` is sodium nitride.

    Raises:
        DataError: It is no formula.
    """
    text = text.strip()
    if not text or len(text) > LONGEST_FORMULA:
        raise DataError(f"no formula: {text[:40]!r}.")
    try:
        composition = Composition(text, strict=True)
        amounts = composition.get_el_amt_dict()
    except (ValueError, KeyError, RecursionError, OverflowError) as error:
        raise DataError(f"no formula: {text[:40]!r}.") from error
    if not amounts or not all(np.isfinite(a) and 0 < a < 1e5 for a in amounts.values()):
        raise DataError(f"no formula: the amounts in {text[:40]!r} make no sense.")
    return composition


# --- one function a format -------------------------------------------------------------------------------------------


def _cif(text: str) -> Reading:
    structure, notes = read_cif(text)
    return Reading(structure, structure.composition, notes=tuple(notes))


def _poscar(text: str) -> Reading:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        structure = Poscar.from_str(text, read_velocities=False).structure
    for warning in caught:
        if issubclass(warning.category, BadPoscarWarning) and "cannot be determined" in str(warning.message):
            raise DataError("unreadable POSCAR: it does not name its elements.")
    _check_poscar_lines(text, structure)
    _check_places(structure.frac_coords)
    return Reading(structure, structure.composition)


def _check_poscar_lines(text: str, structure: Structure) -> None:
    """Surplus coordinates, and elements behind coordinates that differ from line 6, would be ignored silently."""
    lines = [line.split() for line in text.strip().splitlines()]
    places = [i for i, words in enumerate(lines) if i >= 6 and len(words) >= 3 and all(map(_is_number, words[:3]))]
    block = [i for n, i in enumerate(places) if i - places[0] == n]
    if len(block) > len(structure):
        raise DataError(f"unreadable POSCAR: it counts {len(structure)} atoms but lists more coordinates.")
    for i, site in zip(block, structure, strict=False):
        # With selective dynamics F is a flag, not fluorine.
        named = next((w for w in lines[i][3:4] if w in Element.__members__ and w not in {"T", "F"}), None)
        if named is not None and named != site.specie.symbol:
            raise DataError(f"unreadable POSCAR: an atom is {site.specie.symbol} by its place but {named} by its line.")


def _extxyz(text: str) -> Reading:
    from ase.io import read

    comment = text.split("\n", 2)[1] if text.count("\n") else ""
    lattice = re.search(r"[Ll]attice\s*=\s*[\"'{\[]([^\"'}\]]*)", comment)
    if lattice is None:
        raise DataError("unreadable frame: it has no Lattice.")
    if len(lattice[1].replace(",", " ").split()) != 9:
        raise DataError(f"unreadable frame: its Lattice has {len(lattice[1].split())} numbers, not 9.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (atoms,) = read(io.StringIO(text), format="extxyz", index=":")
    return from_ase(atoms)


def from_ase(atoms: Atoms) -> Reading:
    """Reading of ASE atoms, with the scalars of ``info`` and the energy per atom of their calculator."""
    values = {k: v.item() if isinstance(v, np.generic) else v for k, v in atoms.info.items() if np.isscalar(v)}
    results = getattr(atoms.calc, "results", {})
    if np.isscalar(energy := results.get("energy")):
        values["energy_per_atom"] = float(np.real(energy)) / len(atoms)
    if atoms.cell.rank == 3:
        _check_places(atoms.cell.scaled_positions(atoms.positions))
    structure = from_atoms(atoms)
    return Reading(structure, structure.composition, values)


def _document(content: str | Mapping[str, Any]) -> Reading:
    import json

    document = json.loads(content) if isinstance(content, str) else content
    if not isinstance(document, dict):
        raise DataError("unreadable: not a dictionary.")
    return _sites(_jarvis_sites(document) if "lattice_mat" in document else _pymatgen_sites(document))


def _pymatgen_sites(document: Mapping[str, Any]) -> dict[str, Any]:
    """Plain sites of a pymatgen dictionary, read by hand: pymatgen's own decoder imports what a file names."""
    sites = document["sites"]
    key = "abc" if all("abc" in site for site in sites) else "xyz"
    return {
        "cell": document["lattice"]["matrix"],
        "pbc": document["lattice"].get("pbc", (True, True, True)),
        "frac" if key == "abc" else "cart": [site[key] for site in sites],
        "species": [{_symbol(part["element"]): part.get("occu", 1.0) for part in site["species"]} for site in sites],
    }


def _symbol(name: Any) -> str:
    if not isinstance(name, str) or name.isdigit():
        raise DataError(f"no element: {name!r}.")
    return name


def _jarvis_sites(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cell": document["lattice_mat"],
        "cart" if document.get("cartesian") else "frac": document["coords"],
        "species": [{str(element).strip(): 1.0} for element in document["elements"]],
    }


def _sites(content: str | Mapping[str, Any]) -> Reading:
    if isinstance(content, str):
        raise DataError("unreadable: not a dictionary.")
    a, b, c = (bool(p) for p in content.get("pbc", (True, True, True)))
    cell = _array(content["cell"], "cell", (3, 3))
    if not np.isfinite(cell).all():
        raise DataError("not finite: its cell.")
    lattice = Lattice(cell, pbc=(a, b, c))
    species = content["species"]
    cartesian = "cart" in content
    places = _array(content["cart" if cartesian else "frac"], "coordinates", (len(species), 3))
    _check_places(lattice.get_fractional_coords(places) if cartesian else places)
    structure = Structure(lattice, [_named(site) for site in species], places, coords_are_cartesian=cartesian)
    return Reading(structure, structure.composition)


def _check_places(frac: np.ndarray) -> None:
    """Refuse coordinates that are no numbers, or so far out that rounding has lost their place in the cell."""
    if not np.isfinite(frac).all():
        raise DataError("not finite: a coordinate.")
    if np.abs(frac).max(initial=0.0) > FARTHEST_COORDINATE:
        raise DataError(f"absurd coordinate: {np.abs(frac).max():.3g} cells away.")


def _named(site: Mapping[str, Any]) -> dict[str, float]:
    """Species by symbol; atomic numbers become symbols, charges in names such as ``Fe3+`` stay."""
    if not site or not all(isinstance(amount, int | float) for amount in site.values()):
        raise DataError(f"unreadable: {site} is no species.")
    return {symbols()[int(name)] if str(name).isdigit() else str(name): float(n) for name, n in site.items()}


def _array(values: Sequence[Any], what: str, shape: tuple[int, int]) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"unreadable: its {what} hold something that is no number.") from error
    if array.shape != shape:
        raise DataError(f"unreadable: its {what} have the shape {array.shape}, not {shape}.")
    return array


def _formula(text: str) -> Reading:
    return Reading(None, read_formula(text))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


READ: dict[Format, Callable[[Any], Reading]] = {
    "cif": _cif,
    "poscar": _poscar,
    "extxyz": _extxyz,
    "document": _document,
    "sites": _sites,
    "formula": _formula,
}
