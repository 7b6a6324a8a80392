"""What the flow and the diffusion model share where they make molecules in space, with the code of crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdkit import Chem

from matgen.data.molecules import canonical_of, from_rdkit, parse_smiles, perceived
from matgen.data.structures import molecule
from matgen.errors import ConfigError, DataError
from matgen.generators.molecule_graphs import without_stereo
from matgen.generators.molecule_sampler import draw_geometries, draw_molecules
from matgen.generators.periodic import PeriodicGenerator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from rdkit.Chem import Mol
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.molecule_sampler import Advance
    from matgen.runtime import Streams

TRIES = 3
"""Most geometries that are drawn for a molecule until one has its bonds."""


class SpatialGenerator(PeriodicGenerator):
    """A periodic generator that can learn molecules, alone or together with crystals."""

    learns_molecules = True

    def molecules_by(self, **options: Any) -> tuple[Advance, float]:
        """How molecules come from noise, and the strength of guidance, by the options of the family."""
        raise NotImplementedError

    def draws_molecules(self, wanted: bool | None) -> bool:
        """Whether molecules are drawn; where it is left open, if the model has learned nothing else.

        Raises:
            ConfigError: It has learned none.
        """
        wanted = self.molecules and not self.prior.any() if wanted is None else wanted
        if wanted and not self.molecules:
            raise ConfigError("this model has learned no molecules.", where="molecules", fix="Use 'flow-qm9'.")
        return bool(wanted)

    def sample_molecules(
        self, requests: Sequence[Request], *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """One molecule a request; see :func:`matgen.generators.molecule_sampler.draw_molecules`."""
        advance, guidance = self.molecules_by(**options)
        return draw_molecules(self, requests, advance, guidance, rng=rng, constraints=constraints)

    def geometries(
        self, smiles: Sequence[str], *, rng: Streams, tries: int = TRIES, **options: Any
    ) -> list[Structure | str]:
        """A geometry for each molecule, drawn given its bonds, or the reason why there is none.

        Stereochemistry is left to chance: a geometry in which RDKit reads other bonds than those given, or another
        stereoisomer, is none, and another is drawn.

        Args:
            smiles: Molecules.
            rng: Streams by index.
            tries: Most draws for a molecule.
            options: Of :meth:`molecules_by`, such as ``steps``.
        """
        wholes: dict[int, Mol] = {}
        found: list[Structure | str] = []
        for i, text in enumerate(smiles):
            try:
                wholes[i] = Chem.AddHs(parse_smiles(without_stereo(text)))
                found.append(self._strange(wholes[i]))
            except DataError as error:
                found.append(error.what)
        left = [i for i, reason in enumerate(found) if not reason]
        streams = {i: rng.at(i) for i in left}
        advance, guidance = self.molecules_by(**options)
        for _ in range(tries):
            drawn = draw_geometries(self, [wholes[i] for i in left], advance, guidance, [streams[i] for i in left])
            for i, made in zip(left, drawn, strict=True):
                found[i] = as_written(smiles[i], made)
            left = [i for i in left if isinstance(found[i], str)]
        return found

    def _strange(self, whole: Mol) -> str:
        """Why a molecule with its hydrogens is none of those that were learned; empty where it could be."""
        if whole.GetNumAtoms() > self.max_atoms:
            return f"{whole.GetNumAtoms()} atoms are more than the {self.max_atoms} that were learned from."
        foreign = sorted({a.GetSymbol() for a in whole.GetAtoms() if not self.molecule_elements[a.GetAtomicNum()]})
        return f"no molecule with {', '.join(foreign)} was learned from." if foreign else ""


def as_written(text: str, made: Structure) -> Structure | str:
    """A geometry with its SMILES, as it is or mirrored, or what is wrong with it."""
    whole = parse_smiles(text)
    wanted, plain = canonical_of(whole), without_stereo(text)
    try:
        for image in (made, molecule(made.atomic_numbers, -made.cart_coords)):
            found = perceived(image, Chem.GetFormalCharge(whole))
            if without_stereo(canonical_of(found)) != plain:
                return "its coordinates suggest other bonds than those written."
            if wanted in (plain, canonical_of(found)):
                return from_rdkit(found)
    except DataError as error:
        return error.what
    return "its coordinates are of another stereoisomer than the one written."
