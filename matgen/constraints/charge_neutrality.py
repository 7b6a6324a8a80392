"""Charge neutrality with the electronegativity order: the composition test of smact."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.constraints.choices import spread, tally
from matgen.constraints.neutrality_mask import allowed_elements
from matgen.constraints.oxidation import Assignment, Rule, nearest_neutral, reduced_counts
from matgen.elements import OxidationTable, metals, numbers, oxidation_states, smact_electronegativity, symbols

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

UNKNOWN = 10.0
"""Largest penalty of decided elements, that of unknown states."""


@CONSTRAINTS.register("charge_neutral")
@dataclass(frozen=True)
class ChargeNeutral(Constraint):
    """Known oxidation states add up to zero, and no cation is more electronegative than an anion.

    The rule is that of ``smact.screening.smact_validity`` (Davies et al., Chem 1, 617, 2016): an element alone passes,
    so does a compound of metals only (``include_alloys``), and otherwise some assignment of oxidation states must be
    neutral and obey Pauling's order. Two choices follow smact 4: states seen at least three times in the ICSD of 2024,
    and mixed valence (Fe3O4, Mn3O4 and LiMn2O4 fail without it). With ``oxidation_states="smact14",
    mixed_valence=False`` it is the composition validity that papers since CDVAE report. Where smact gives up at a
    million combinations of mixed valence, this test goes on.

    About a tenth of the known compounds fail (Pb3O4, NaCl3), so treat it as evidence, not as law. The score is the
    smallest absolute charge per formula unit, 0 where it passes and infinite where a state is unknown.

    As a penalty it acts in training losses, on the probabilities of elements.

    As a mask it keeps to one state an element, which is stricter than the check where mixed valence is allowed.

    Args:
        oxidation_states: smact's table of states.
        mixed_valence: Whether atoms of one mixed-valent element may differ in state.
        electronegativity_order: Whether Pauling's order is demanded.
        include_alloys: Whether a compound of metals only passes.
    """

    name: ClassVar[str] = "charge_neutral"
    guides: ClassVar[bool] = False

    oxidation_states: OxidationTable = "icsd24"
    mixed_valence: bool = True
    electronegativity_order: bool = True
    include_alloys: bool = True

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the composition can be neutral."""
        found = [self.judge(structure.composition.get_el_amt_dict()) for structure in structures]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) the score, at most 10, which elements that are decided cannot lower.

        Where the batch carries ``probabilities (ΣA, Z)`` of the elements, the charge that is missing in elementary
        charges per atom, differentiable in them: zero wherever the check passes (:mod:`.soft_neutrality`).
        """
        from matgen.constraints.soft_neutrality import missing_charge

        if "probabilities" in batch:
            return missing_charge(batch.probabilities, batch.batch, batch.num_graphs, self.rule, self.include_alloys)
        cells = [batch.numbers[batch.batch == i].tolist() for i in range(batch.num_graphs)]
        scores = [self.judge(Counter(symbols()[z] for z in cell))[0] for cell in cells]
        return batch.cell.new_tensor(scores).clamp_max(UNKNOWN)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements after which the cell can still become neutral (:mod:`.neutrality_mask`)."""
        counts, left = tally(numbers, real)
        found = np.ones(counts.shape, dtype=bool)
        for i, (row, places) in enumerate(zip(counts.cpu().numpy(), left.tolist(), strict=True)):
            if places:
                held = tuple((int(z), int(row[z])) for z in np.flatnonzero(row))
                found[i] = allowed_elements(held, places, self.rule, self.include_alloys)
        return spread(counts.new_tensor(found).bool(), numbers, real)

    def permits(self, numbers: np.ndarray) -> bool:
        """Whether a composition passes the check."""
        found, counts = np.unique(numbers, return_counts=True)
        amounts = {symbols()[z]: float(n) for z, n in zip(found, counts, strict=True)}
        return self.judge(amounts)[1] is None

    def judge(self, counts: Mapping[str, float]) -> tuple[float, str | None]:
        """Score and reason for a composition given as atoms by element."""
        unit = reduced_counts(counts)
        if len(unit) == 1 or (self.include_alloys and metals().issuperset(unit)):
            return 0.0, None
        found = nearest_neutral(unit, self.rule)
        if found is None:
            return float("inf"), self._unknown(unit)
        charge, states = found
        if charge == 0:
            return 0.0, None
        return float(abs(charge)), self._miss(unit, charge, states)

    @cached_property
    def rule(self) -> Rule:
        """The rule that assignments of states must obey."""
        return Rule(self.oxidation_states, self.mixed_valence, self.electronegativity_order)

    def _unknown(self, unit: dict[str, int]) -> str:
        known = oxidation_states(self.oxidation_states)
        missing = [element for element in unit if not known[element]]
        if missing:
            return f"no oxidation states are known for {' and '.join(missing)}"
        unscaled = [e for e in unit if not smact_electronegativity()[numbers()[e]] > 0]
        if unscaled:
            return f"no Pauling electronegativity is known for {' and '.join(unscaled)}"
        return f"the known oxidation states of {', '.join(unit)} allow no order of cations and anions"

    def _miss(self, unit: dict[str, int], charge: int, states: Assignment) -> str:
        formula = _formula(unit)
        closest = f"closest, {_spell(states)}, leaves {charge:+d} per {formula}"
        free = nearest_neutral(unit, Rule(self.oxidation_states, self.mixed_valence, ordered=False))
        if self.electronegativity_order and free is not None and free[0] == 0:
            return (
                f"{formula} is neutral only against Pauling's electronegativity order, as {_spell(free[1])}; "
                f"in that order the {closest}"
            )
        return f"no known oxidation states make {formula} neutral; the {closest}"


def _spell(states: Assignment) -> str:
    cations_first = sorted(states.items(), key=lambda item: -item[1][-1])
    return " ".join(f"{element}({','.join(f'{q:+d}' for q in charges)})" for element, charges in cations_first)


def _formula(unit: dict[str, int]) -> str:
    from pymatgen.core import Composition

    return str(Composition(unit).reduced_formula)
