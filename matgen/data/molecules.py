"""Molecules: SMILES, RDKit molecules and structures without periodic axes, each from the others.

A molecule's structure holds all of its atoms, hydrogens too, first the heavy atoms in the order of its canonical
SMILES, and carries these SMILES as ``structure.properties["smiles"]``. Shapes: A atoms.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor, rdDetermineBonds, rdDistGeom, rdForceFieldHelpers
from rdkit.Chem.Scaffolds import MurckoScaffold

from matgen.data.structures import SMILES, molecule
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from rdkit.Chem import Mol

LONGEST_SMILES = 2000
"""Characters; what is longer is a polymer or a mistake."""

LARGEST_PERCEPTION = 200
"""Atoms up to which bonds are read off coordinates."""


def parse_smiles(smiles: str) -> Mol:
    """A sanitised RDKit molecule.

    Raises:
        DataError: It is no SMILES, or its valences or rings are impossible; the message is RDKit's.
    """
    if not isinstance(smiles, str) or not smiles.strip():
        raise DataError("no SMILES: empty.")
    if len(smiles) > LONGEST_SMILES:
        raise DataError(f"no SMILES: {len(smiles):,} characters are too many for one molecule.")
    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(smiles.strip(), sanitize=False)
        if found is None:
            raise DataError(f"no SMILES: {smiles[:60]!r}.")
        return sanitised(found)


def sanitised(found: Mol) -> Mol:
    """The molecule after RDKit's sanitisation, stereochemistry assigned.

    Raises:
        DataError: A valence, an aromatic ring or an atom is impossible.
    """
    try:
        with rdBase.BlockLogs():
            Chem.SanitizeMol(found)
            Chem.AssignStereochemistry(found, cleanIt=True, force=True)
    except (ValueError, RuntimeError) as error:  # RDKit's own errors are ValueErrors
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise DataError(f"impossible molecule: {reason}.") from error
    if found.GetNumAtoms() == 0:
        raise DataError("impossible molecule: no atoms.")
    return found


@lru_cache(maxsize=200_000)
def canonical(smiles: str) -> str:
    """RDKit's canonical isomeric SMILES, explicit hydrogens folded in.

    Raises:
        DataError: See :func:`parse_smiles`.
    """
    return canonical_of(parse_smiles(smiles))


def canonical_of(found: Mol) -> str:
    """Canonical isomeric SMILES of an RDKit molecule, explicit hydrogens folded in."""
    with rdBase.BlockLogs():
        bare = Chem.RemoveHs(found)
        text = str(Chem.MolToSmiles(bare))
        # Where folding changes the symmetry, only a second reading gives the spelling that never changes again.
        again = Chem.MolFromSmiles(text)
    return text if again is None else str(Chem.MolToSmiles(again))


def inchikey(smiles: str) -> str:
    """InChIKey, by which two spellings of one molecule, tautomers of mobile hydrogens included, are the same."""
    return inchikey_of(parse_smiles(smiles))


def inchikey_of(found: Mol) -> str:
    """InChIKey of an RDKit molecule; empty where InChI cannot name it."""
    with rdBase.BlockLogs():
        return str(Chem.MolToInchiKey(found))


def scaffold(smiles: str) -> str:
    """Bemis-Murcko scaffold, ring systems and what links them, without stereochemistry; empty for a chain.

    Bemis and Murcko, J. Med. Chem. 39, 2887 (1996).
    """
    found = parse_smiles(smiles)
    with rdBase.BlockLogs():
        Chem.RemoveStereochemistry(found)
        return str(Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(found)))


def embed(smiles: str, seed: int = 0, *, minimise: bool = True) -> Structure:
    """One conformer: distance geometry with torsion knowledge, then a force field.

    ETKDGv3 (Riniker and Landrum, J. Chem. Inf. Model. 55, 2562, 2015; Wang et al., ibid. 60, 2044, 2020), then
    MMFF94s, or UFF where MMFF has no parameters.

    Args:
        smiles: A molecule.
        seed: Of the conformer.
        minimise: Whether the force field acts.

    Raises:
        DataError: No SMILES, or no conformer was found.
    """
    return conformers(smiles, 1, seed, minimise=minimise)[0]


def conformers(smiles: str, n: int, seed: int = 0, *, minimise: bool = True) -> list[Structure]:
    """Up to n conformers, lowest force-field energy first; see :func:`embed`."""
    whole = Chem.AddHs(parse_smiles(canonical(smiles)))
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = int(seed) & 0x7FFFFFFF
    with rdBase.BlockLogs():
        ids = list(rdDistGeom.EmbedMultipleConfs(whole, n, settings))
        if not ids:
            settings.useRandomCoords = True
            ids = list(rdDistGeom.EmbedMultipleConfs(whole, n, settings))
        if not ids:
            raise DataError(f"no conformer found for {smiles[:60]}.")
        energies = _minimised(whole) if minimise else [0.0] * len(ids)
    order = np.argsort(energies, kind="stable")
    return [from_rdkit(whole, conformer=ids[i]) for i in order]


def sketch(smiles: str) -> Structure:
    """The molecule laid out flat, as it is drawn: its atoms and bonds without a conformer, in well under 1 ms.

    Whatever needs bonds alone takes it; what needs a geometry embeds first (:func:`is_flat` tells).
    """
    whole = Chem.AddHs(parse_smiles(canonical(smiles)))
    rdDepictor.Compute2DCoords(whole)
    return from_rdkit(whole)


def is_flat(structure: Structure) -> bool:
    """Whether all of at least four atoms lie at exactly the same height z, as in a drawing."""
    return len(structure) > 3 and bool(np.ptp(structure.cart_coords[:, 2]) == 0.0)


def from_rdkit(found: Mol, conformer: int = -1) -> Structure:
    """Structure of an RDKit molecule with hydrogens and coordinates, with its canonical SMILES."""
    numbers = [atom.GetAtomicNum() for atom in found.GetAtoms()]
    return molecule(numbers, found.GetConformer(conformer).GetPositions(), canonical_of(found))


def smiles_of(structure: Structure | str) -> str:
    """Canonical SMILES that a structure carries, or else those of the bonds that its coordinates suggest.

    Raises:
        DataError: It is periodic, or its coordinates make no molecule.
    """
    if isinstance(structure, str):
        return canonical(structure)
    known = structure.properties.get(SMILES)
    return str(known) if known else canonical_of(perceived(structure))


def to_rdkit(structure: Structure | str) -> Mol:
    """RDKit molecule of a structure without explicit hydrogens, by its SMILES or, without them, its coordinates."""
    return parse_smiles(smiles_of(structure))


def with_geometry(structure: Structure) -> Mol:
    """RDKit molecule with all hydrogens and the structure's coordinates as the conformer.

    Bond orders are read off the coordinates; where none fit, all bonds are single.
    """
    charge = Chem.GetFormalCharge(to_rdkit(structure)) if SMILES in structure.properties else 0
    try:
        return perceived(structure, charge)
    except DataError:
        bare = _atoms(structure.atomic_numbers, structure.cart_coords)
        with rdBase.BlockLogs():
            rdDetermineBonds.DetermineConnectivity(bare)
        return bare


def perceived(structure: Structure, charge: int = 0) -> Mol:
    """Bonds and bond orders read off coordinates, with all hydrogens and the conformer.

    Connectivity by distances, orders after Kim and Kim, Bull. Korean Chem. Soc. 36, 1769 (2015), as RDKit has it.

    Args:
        structure: A structure without periodic axes, all hydrogens present.
        charge: Of the whole molecule, in e.

    Raises:
        DataError: Periodic, too large, in several pieces, or no valences fit.
    """
    if any(structure.lattice.pbc):
        raise DataError("no molecule: the structure is periodic.", fix="Molecules have no periodic axis.")
    if len(structure) > LARGEST_PERCEPTION:
        raise DataError(f"no molecule: {len(structure)} atoms are too many to find bonds by distances.")
    found = _atoms(structure.atomic_numbers, structure.cart_coords)
    try:
        with rdBase.BlockLogs():
            rdDetermineBonds.DetermineConnectivity(found)
            if len(Chem.GetMolFrags(found)) > 1:
                raise DataError("no molecule: the atoms are in several pieces.")
            rdDetermineBonds.DetermineBondOrders(found, charge=charge, allowChargedFragments=True, maxIterations=2000)
            Chem.AssignStereochemistryFrom3D(found)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise DataError(f"no molecule: {reason}.") from error
    return sanitised(found)


def _atoms(numbers: Sequence[int], positions: np.ndarray) -> Mol:
    found = Chem.RWMol()
    for z in numbers:
        found.AddAtom(Chem.Atom(int(z)))
    conformer = Chem.Conformer(len(numbers))
    conformer.SetPositions(np.ascontiguousarray(positions, dtype=float))
    found.AddConformer(conformer, assignId=True)
    return found.GetMol()


def _minimised(whole: Mol) -> list[float]:
    """Energies (kcal/mol) of all conformers after minimisation in place."""
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(whole):
        found = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(whole, mmffVariant="MMFF94s", maxIters=500)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(whole):
        found = rdForceFieldHelpers.UFFOptimizeMoleculeConfs(whole, maxIters=500)
    else:
        return [0.0] * whole.GetNumConformers()
    return [float(energy) for _, energy in found]
