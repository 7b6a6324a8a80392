"""Bonds and rings: valences, sizes of rings, pieces and charges, required and forbidden substructures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from rdkit import Chem, rdBase

from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.molecule import MoleculeConstraint
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from rdkit.Chem import Mol


@CONSTRAINTS.register("valence")
@dataclass(frozen=True)
class Valence(MoleculeConstraint):
    """One molecule with valences that RDKit accepts, without unpaired electrons.

    Structures without SMILES must have coordinates from which bonds can be read. The score is the number of unpaired
    electrons plus the net charge's size.

    Args:
        charged: Whether a net charge is allowed.
    """

    name: ClassVar[str] = "valence"

    charged: bool = False

    def judge(self, molecule: Mol) -> tuple[float, str | None]:
        """Sanitisation has passed; what is left are pieces, radicals and charges."""
        unpaired = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        charge = Chem.GetFormalCharge(molecule)
        pieces = len(Chem.GetMolFrags(molecule))
        reason = None
        if pieces > 1:
            reason = f"{pieces} pieces instead of one molecule"
        elif unpaired:
            reason = f"radical with {unpaired} unpaired electrons"
        elif charge and not self.charged:
            reason = f"net charge {charge:+d}"
        return float(unpaired + abs(charge)), reason


@CONSTRAINTS.register("ring_sizes")
@dataclass(frozen=True)
class RingSizes(MoleculeConstraint):
    """Rings of wanted sizes only, and not too many. The score is the number of rings of other sizes.

    Args:
        smallest: Atoms of the smallest ring allowed.
        largest: Atoms of the largest ring allowed.
        most: Most rings of a molecule.
        spiro: Whether two rings may share exactly one atom.
    """

    name: ClassVar[str] = "ring_sizes"

    smallest: int = 3
    largest: int = 8
    most: int = 6
    spiro: bool = True

    def __post_init__(self) -> None:
        if not 3 <= self.smallest <= self.largest or self.most < 0:
            raise ConfigError(
                f"smallest={self.smallest}, largest={self.largest}, most={self.most}.",
                where=self.name,
                fix="Give 3 <= smallest <= largest and most >= 0.",
            )

    def judge(self, molecule: Mol) -> tuple[float, str | None]:
        """Look at the smallest set of smallest rings."""
        rings = [set(ring) for ring in molecule.GetRingInfo().AtomRings()]
        wrong = sorted(len(ring) for ring in rings if not self.smallest <= len(ring) <= self.largest)
        if wrong:
            return float(len(wrong)), f"a ring of {wrong[-1]} atoms, {self.smallest} to {self.largest} allowed"
        if len(rings) > self.most:
            return float(len(rings)), f"{len(rings)} rings, at most {self.most} allowed"
        if not self.spiro and any(len(a & b) == 1 for i, a in enumerate(rings) for b in rings[:i]):
            return 0.0, "a spiro centre"
        return 0.0, None


@CONSTRAINTS.register("substructure")
@dataclass(frozen=True)
class Substructure(MoleculeConstraint):
    """Required and forbidden patterns in SMARTS. The score is the number of patterns that are not as wanted.

    Args:
        required: Each must occur.
        forbidden: None may occur.
    """

    name: ClassVar[str] = "substructure"

    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.required or self.forbidden):
            raise ConfigError("no pattern.", where=self.name, fix="Give 'required' or 'forbidden' in SMARTS.")
        _ = self._patterns

    def judge(self, molecule: Mol) -> tuple[float, str | None]:
        """Search each pattern."""
        broken = [
            f"{'lacks' if wanted else 'contains'} {text}"
            for text, pattern, wanted in self._patterns
            if molecule.HasSubstructMatch(pattern) != wanted
        ]
        return float(len(broken)), ", ".join(broken) or None

    @cached_property
    def _patterns(self) -> list[tuple[str, Any, bool]]:
        wanted = [(text, True) for text in self.required] + [(text, False) for text in self.forbidden]
        return [(text, smarts(text), want) for text, want in wanted]


@lru_cache(maxsize=1000)
def smarts(text: str) -> Any:
    """A compiled SMARTS pattern.

    Raises:
        ConfigError: It is none.
    """
    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(text)
    if pattern is None:
        raise ConfigError(f"{text!r} is no SMARTS.", where="substructure")
    return pattern
