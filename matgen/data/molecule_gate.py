"""The quality gate for molecules: each row alone. A row is kept, repaired or refused with a reason."""

from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pymatgen.core import Composition
from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from matgen.data.molecules import LARGEST_PERCEPTION, canonical_of, inchikey_of, parse_smiles, perceived, sanitised
from matgen.data.structures import molecule, pack
from matgen.elements import number
from matgen.errors import DataError
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymatgen.core import Structure
    from rdkit.Chem import Mol

MOLECULE_FORMATS = frozenset({"smiles", "selfies", "molblock", "xyz", "conformer"})
"""Formats of records that hold molecules."""

FLAT_FORMATS = frozenset({"smiles", "selfies"})
"""Those that never hold a geometry."""

CLOSEST = 0.5
"""Å; atoms of a molecule that are closer are a mistake."""


@dataclass(frozen=True)
class MoleculeRules:
    """What is done with molecules that are more, or less, than one neutral closed-shell molecule.

    Args:
        salts: Of several pieces the ``largest`` is kept (and noted), or the row is refused (``quarantine``).
        charges: ``keep`` charged molecules, ``neutralise`` them by protons where possible, or ``quarantine`` them.
            Inner charges that cancel, such as those of nitro groups, are no charge.
        tautomers: ``keep`` the one given, or write the ``canonical`` one.
        stereo: ``keep`` stereochemistry or ``drop`` it.
        radicals: Refuse molecules with unpaired electrons, or keep them.
        isotopes: ``keep`` isotope labels or ``drop`` them.
    """

    salts: Literal["largest", "quarantine"] = "largest"
    charges: Literal["keep", "neutralise", "quarantine"] = "keep"
    tautomers: Literal["keep", "canonical"] = "keep"
    stereo: Literal["keep", "drop"] = "keep"
    radicals: Literal["quarantine", "keep"] = "quarantine"
    isotopes: Literal["keep", "drop"] = "keep"


@dataclass(frozen=True)
class MoleculeReading:
    """What a record of a molecule holds.

    Args:
        bonds: The molecule as given, sanitised.
        structure: Its geometry, where the record has one.
    """

    bonds: Mol
    structure: Structure | None = None


def judge_molecule(kind: str, content: Any, formula: str | None, rules: MoleculeRules, most: int) -> dict[str, Any]:
    """Columns of a molecule that passes: ``smiles``, ``inchikey``, ``formula``, ``n_atoms``, ``values``, ``notes``.

    Args:
        kind: One of :data:`MOLECULE_FORMATS`.
        content: What the record holds.
        formula: What the source gives beside it; must agree with the atoms.
        rules: What is done with salts, charges and so on.
        most: Largest number of atoms, hydrogens included.

    Raises:
        DataError: It is refused, and why.
    """
    reading = read_molecule(kind, content)
    _check_formula(formula, reading.bonds)
    settled, notes = settle(reading.bonds, rules)
    atoms = Chem.AddHs(settled).GetNumAtoms()
    if atoms > most:
        raise DataError(f"too many atoms: {atoms}, allowed {most}.")
    smiles = canonical_of(settled)
    row = {
        "smiles": smiles,
        "inchikey": inchikey_of(settled) or smiles,
        "formula": hill_formula(settled),
        "n_atoms": atoms,
        "values": {},
        "notes": list(notes),
    }
    if reading.structure is None:
        return row
    if notes and len(reading.structure) != atoms:
        raise DataError("its geometry is of another molecule than what is left after repairs.")
    row.update({name: values[0] for name, values in pack([reading.structure]).items() if name != "smiles"})
    return row


def read_molecule(kind: str, content: Any) -> MoleculeReading:
    """Read the content of a record.

    Raises:
        DataError: It cannot be read, or holds no molecule.
    """
    try:
        return READ[kind](content)
    except DataError:
        raise
    except Exception as error:  # parsers raise a dozen unrelated types on broken content
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise DataError(f"unreadable {kind}: {reason}.") from error


def settle(found: Mol, rules: MoleculeRules) -> tuple[Mol, tuple[str, ...]]:
    """The molecule as the rules want it, and what was repaired.

    Raises:
        DataError: The rules refuse it.
    """
    notes = []
    with rdBase.BlockLogs():
        if len(Chem.GetMolFrags(found)) > 1:
            if rules.salts == "quarantine":
                raise DataError(f"salt or mixture: {len(Chem.GetMolFrags(found))} pieces.")
            found = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(found)
            notes.append("largest of several pieces kept")
        if Chem.GetFormalCharge(found) and rules.charges == "neutralise":
            found = rdMolStandardize.Uncharger().uncharge(found)
            notes.append("neutralised by protons")
        if rules.charges != "keep" and (charge := Chem.GetFormalCharge(found)):
            raise DataError(f"charged: {charge:+d} e.")
        if rules.isotopes == "drop" and any(atom.GetIsotope() for atom in found.GetAtoms()):
            for atom in found.GetAtoms():
                atom.SetIsotope(0)
            notes.append("isotopes left out")
        if rules.tautomers == "canonical":
            before, found = canonical_of(found), rdMolStandardize.TautomerEnumerator().Canonicalize(found)
            notes += ["canonical tautomer written"] if canonical_of(found) != before else []
        if rules.stereo == "drop" and _has_stereo(found):
            Chem.RemoveStereochemistry(found)
            notes.append("stereochemistry left out")
    _check_atoms(found, rules)
    return found, tuple(notes)


def hill_formula(found: Mol) -> str:
    """Formula in Hill order, hydrogens included, without charge."""
    count = Counter(atom.GetSymbol() for atom in Chem.AddHs(found).GetAtoms())
    first = [symbol for symbol in ("C", "H") if "C" in count and symbol in count]
    order = first + sorted(symbol for symbol in count if symbol not in first)
    return "".join(symbol + (str(count[symbol]) if count[symbol] > 1 else "") for symbol in order)


def _has_stereo(found: Mol) -> bool:
    centres = Chem.FindMolChiralCenters(found, useLegacyImplementation=False)
    return bool(centres) or any(bond.GetStereo() != Chem.BondStereo.STEREONONE for bond in found.GetBonds())


def _check_atoms(found: Mol, rules: MoleculeRules) -> None:
    if any(atom.GetAtomicNum() == 0 for atom in found.GetAtoms()):
        raise DataError("open place: an atom of no element, as in a query or a fragment.")
    unpaired = sum(atom.GetNumRadicalElectrons() for atom in found.GetAtoms())
    if unpaired and rules.radicals == "quarantine":
        raise DataError(f"radical: {unpaired} unpaired electrons.")


def _check_formula(given: str | None, found: Mol) -> None:
    if not given or not re.fullmatch(r"(?:[A-Z][a-z]?\d*)+", given):
        return
    made = Composition(hill_formula(found))
    if dict(Composition(given)) != dict(made) and Composition(given).reduced_formula != made.reduced_formula:
        raise DataError(f"formula: {given[:40]} is stated but the atoms make {hill_formula(found)}.")


# --- one function a format -------------------------------------------------------------------------------------------


def _smiles(text: str) -> MoleculeReading:
    return MoleculeReading(parse_smiles(text))


def _selfies(text: str) -> MoleculeReading:
    selfies = require("selfies", "molecules")
    try:
        smiles = selfies.decoder(text.strip())
    except selfies.DecoderError as error:
        raise DataError(f"no SELFIES: {' '.join(str(error).split())[:120]}.") from error
    return MoleculeReading(parse_smiles(smiles))


def _molblock(text: str) -> MoleculeReading:
    with rdBase.BlockLogs():
        found = Chem.MolFromMolBlock(text, sanitize=False, removeHs=False)
    if found is None:
        raise DataError("unreadable molblock: not a V2000 or V3000 connection table.")
    sanitised(found)
    places = found.GetConformer().GetPositions() if found.GetNumConformers() else np.zeros((0, 3))
    if not len(places) or not np.ptp(places[:, 2]):
        return MoleculeReading(Chem.RemoveHs(found))
    if Chem.AddHs(found).GetNumAtoms() != found.GetNumAtoms():
        raise DataError("its geometry lacks hydrogens.")
    Chem.AssignStereochemistryFrom3D(found)
    numbers = [atom.GetAtomicNum() for atom in found.GetAtoms()]
    return MoleculeReading(Chem.RemoveHs(found), _geometry(numbers, places, canonical_of(found)))


def _xyz(text: str) -> MoleculeReading:
    from ase.io import read

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (atoms,) = read(io.StringIO(text), format="extxyz", index=":")
    bare = _geometry([int(z) for z in atoms.numbers], atoms.positions, None)
    found = perceived(bare)
    return MoleculeReading(
        Chem.RemoveHs(found), _geometry(list(bare.atomic_numbers), atoms.positions, canonical_of(found))
    )


def _conformer(content: Mapping[str, Any]) -> MoleculeReading:
    """Elements and positions beside the SMILES that the source gives them; the composition must agree."""
    numbers = [number(str(symbol)) for symbol in content["elements"]]
    found = parse_smiles(content["smiles"])
    if Counter(numbers) != Counter(atom.GetAtomicNum() for atom in Chem.AddHs(found).GetAtoms()):
        raise DataError("the SMILES and the geometry are of different compositions.")
    return MoleculeReading(
        found, _geometry(numbers, np.asarray(content["positions"], dtype=float), canonical_of(found))
    )


def _geometry(numbers: list[int], places: np.ndarray, smiles: str | None) -> Structure:
    if not np.isfinite(places).all() or places.shape != (len(numbers), 3):
        raise DataError("not finite: a coordinate.")
    if len(numbers) > LARGEST_PERCEPTION and smiles is None:
        raise DataError(f"too many atoms: {len(numbers)} without bonds.")
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + 10 * np.eye(len(numbers))
    if len(numbers) > 1 and apart.min() < CLOSEST:
        raise DataError(f"atoms too close: {apart.min():.2f} Å.")
    return molecule(numbers, places, smiles)


READ: dict[str, Callable[[Any], MoleculeReading]] = {
    "smiles": _smiles,
    "selfies": _selfies,
    "molblock": _molblock,
    "xyz": _xyz,
    "conformer": _conformer,
}
