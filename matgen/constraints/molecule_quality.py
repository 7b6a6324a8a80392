"""Whether a molecule can be made and is worth making: accessibility, alerts, drug-like windows, size."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rdkit import RDConfig
from rdkit.Chem import QED, Descriptors, FilterCatalog, rdMolDescriptors

from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.choices import spread
from matgen.constraints.molecule import MoleculeConstraint, within
from matgen.elements import elements
from matgen.errors import ConfigError, MissingPackageError

if TYPE_CHECKING:
    import torch
    from rdkit.Chem import Mol

Catalogue = Literal["PAINS", "BRENK", "NIH", "CHEMBL"]


@CONSTRAINTS.register("synthetic_accessibility")
@dataclass(frozen=True)
class SyntheticAccessibility(MoleculeConstraint):
    """Easy enough to make: the score of Ertl and Schuffenhauer (J. Cheminform. 1, 8, 2009), 1 easy to 10 hard.

    Args:
        high: Largest score allowed. Drugs lie at about 3, natural products at about 5.
    """

    name: ClassVar[str] = "synthetic_accessibility"

    high: float = 4.5

    def __post_init__(self) -> None:
        if not 1 <= self.high <= 10:
            raise ConfigError(f"high={self.high}.", where=self.name, fix="The score runs from 1 to 10.")

    def judge(self, molecule: Mol) -> tuple[float, str | None]:
        """The score, and whether it is too high."""
        score = sa_score(molecule)
        return score, within("synthetic accessibility", score, None, self.high)


@CONSTRAINTS.register("structural_alerts")
@dataclass(frozen=True)
class StructuralAlerts(MoleculeConstraint):
    """No pattern of published lists of troublesome groups. The score is the number of alerts.

    * PAINS: assay interference; Baell and Holloway, J. Med. Chem. 53, 2719 (2010).
    * BRENK: toxic, reactive or unstable; Brenk et al., ChemMedChem 3, 435 (2008).
    * NIH: reactive or of poor use in medicine; Jadhav et al., J. Med. Chem. 53, 37 (2010).
    * CHEMBL: several companies' lists as collected in ChEMBL; strict.

    Args:
        lists: Which lists count.
        most: Alerts that are tolerated.
    """

    name: ClassVar[str] = "structural_alerts"

    lists: tuple[Catalogue, ...] = ("PAINS", "BRENK")
    most: int = 0

    def __post_init__(self) -> None:
        if not self.lists or self.most < 0:
            raise ConfigError("no list, or fewer than no alerts.", where=self.name, fix="Give lists and most >= 0.")

    def judge(self, molecule: Mol) -> tuple[float, str | None]:
        """Names of the patterns that occur."""
        names = [match.GetDescription().strip() for match in self._catalogue.GetMatches(molecule)]
        shown = ", ".join(sorted(set(names))[:3])
        return float(len(names)), f"structural alert: {shown}" if len(names) > self.most else None

    @cached_property
    def _catalogue(self) -> Any:
        return _catalogue(self.lists)


@CONSTRAINTS.register("drug_like")
@dataclass(frozen=True)
class DrugLike(MoleculeConstraint):
    """Windows of simple properties; by default the rule of five (Lipinski et al., Adv. Drug Deliv. Rev. 23, 3, 1997).

    The score is the number of windows missed.

    Args:
        weight: Largest molecular weight, g/mol.
        logp: Largest logP (Crippen).
        donors: Most hydrogen-bond donors (N-H and O-H).
        acceptors: Most hydrogen-bond acceptors (N and O).
        rotatable: Most rotatable bonds; null for any (Veber et al., J. Med. Chem. 45, 2615, 2002: 10).
        tpsa: Largest polar surface area, Å²; null for any (Veber: 140).
        qed: Smallest drug-likeness (Bickerton et al., Nat. Chem. 4, 90, 2012); null for any.
        misses: Windows that may be missed; Lipinski tolerated one.
    """

    name: ClassVar[str] = "drug_like"

    weight: float | None = 500.0
    logp: float | None = 5.0
    donors: int | None = 5
    acceptors: int | None = 10
    rotatable: int | None = None
    tpsa: float | None = None
    qed: float | None = None
    misses: int = 0

    def judge(self, molecule: Mol) -> tuple[float, str | None]:
        """Compare each property that has a window."""
        missed = []
        for field in fields(self):
            limit = getattr(self, field.name)
            if field.name in DRUG_PROPERTIES and limit is not None:
                words, function = DRUG_PROPERTIES[field.name]
                low, high = (limit, None) if field.name == "qed" else (None, limit)
                missed.append(within(words, float(function(molecule)), low, high))
        reasons = [reason for reason in missed if reason]
        return float(len(reasons)), "; ".join(reasons) if len(reasons) > self.misses else None


@CONSTRAINTS.register("molecular_weight")
@dataclass(frozen=True)
class MolecularWeight(MoleculeConstraint):
    """Molecular weight within a window, both ends allowed. The score is the weight.

    As a mask it keeps the upper end alone: whatever is written next, the molecule can still end below it.

    Args:
        low: g/mol.
        high: g/mol.
    """

    name: ClassVar[str] = "molecular_weight"

    low: float = 0.0
    high: float = 500.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise ConfigError(f"low={self.low}, high={self.high}.", where=self.name, fix="Give 0 <= low < high.")

    def judge(self, molecule: Mol) -> tuple[float, str | None]:
        """Average weight, hydrogens included."""
        weight = molecular_weight(molecule)
        return weight, within("molecular weight", weight, self.low, self.high, "g/mol")

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements that leave at least the weight of hydrogen for every other atom."""
        import torch

        masses = [0.0 if element is None else float(element.atomic_mass) for element in elements()]
        weights = torch.tensor(masses, dtype=torch.float64, device=numbers.device)
        left = ((numbers == 0) & real).sum(1)
        rest = self.high - weights[numbers].sum(1) - weights[1] * (left - 1)
        return spread(weights <= rest[:, None], numbers, real)


def molecular_weight(molecule: Mol) -> float:
    """Average mass in g/mol, hydrogens included."""
    return float(dict(Descriptors.descList)["MolWt"](molecule))


def log_p(molecule: Mol) -> float:
    """Octanol/water partition as a sum over atoms; Wildman and Crippen, J. Chem. Inf. Comput. Sci. 39, 868 (1999)."""
    return float(rdMolDescriptors.CalcCrippenDescriptors(molecule)[0])


DRUG_PROPERTIES: dict[str, tuple[str, Any]] = {
    "weight": ("molecular weight", molecular_weight),
    "logp": ("logP", log_p),
    "donors": ("hydrogen-bond donors", rdMolDescriptors.CalcNumLipinskiHBD),
    "acceptors": ("hydrogen-bond acceptors", rdMolDescriptors.CalcNumLipinskiHBA),
    "rotatable": ("rotatable bonds", rdMolDescriptors.CalcNumRotatableBonds),
    "tpsa": ("polar surface area", rdMolDescriptors.CalcTPSA),
    "qed": ("QED", QED.qed),
}
"""Words and function of each window."""


def sa_score(molecule: Mol) -> float:
    """Synthetic accessibility after Ertl and Schuffenhauer, as RDKit's contributed code has it."""
    return float(_scorer().calculateScore(molecule))


@cache
def _scorer() -> Any:
    """RDKit's contributed module, which lies beside the package and not in it."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("rdkit_sascorer", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise MissingPackageError("RDKit's SA_Score is missing.", where=str(path), fix="pip install rdkit")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _catalogue(lists: tuple[Catalogue, ...]) -> Any:
    parameters = FilterCatalog.FilterCatalogParams()
    for name in lists:
        parameters.AddCatalog(getattr(FilterCatalog.FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog.FilterCatalog(parameters)
