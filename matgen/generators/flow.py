"""Flow matching on elements, torus coordinates and cell, with a periodic transformer.

Coordinates follow geodesics of the torus (Chen & Lipman, arXiv:2302.03660; for crystals FlowMM, arXiv:2406.04713),
the logarithm of the cell's stretch a straight line, elements an absorbing process (arXiv:2407.15595). One network
gives the velocities and the element probabilities. Shapes: S systems, A atoms, D width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from rdkit import Chem

from matgen.constraints.base import INSIDE
from matgen.data.molecules import canonical_of, from_rdkit, parse_smiles, perceived
from matgen.data.structures import molecule
from matgen.errors import ConfigError, DataError
from matgen.generators.base import GENERATORS
from matgen.generators.dense import Crystals
from matgen.generators.flow_likelihood import flow_log_prob
from matgen.generators.flow_sampler import Integration, sample_flow
from matgen.generators.molecule_box import aligned, bonds_apart, bonds_between, box_noise, random_rotations, turned
from matgen.generators.molecule_graphs import without_stereo
from matgen.generators.molecule_sampler import sample_geometries, sample_molecules
from matgen.generators.paths import pair_noise, revealed, straight, torus
from matgen.generators.periodic import PeriodicGenerator, field_losses
from matgen.precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from rdkit.Chem import Mol
    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.runtime import Streams


BONDS_GIVEN = 0.75
"""Share of the molecules in a batch whose bonds the network is told."""


@GENERATORS.register("flow")
class Flow(PeriodicGenerator):
    """Flow matching on elements, fractional coordinates and cell with a periodic transformer.

    Settings as of :class:`matgen.generators.periodic.PeriodicGenerator`.
    """

    name = "flow"
    learns_molecules = True
    conditions = frozenset({"formula", "chemical_system", "n_atoms", "space_group", "target", "fixed"})
    acts = frozenset(INSIDE)
    learns_penalties = True

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared velocity errors of coordinates and cell, cross entropy of undetermined elements.

        Half of the systems have their composition given, of molecules a part their bonds as well; each condition is
        dropped in part of the systems. Molecules are seen at later times more often, when their bonds settle.
        """
        x1 = Crystals.of(batch)
        isolated = batch.isolated if self.molecules else None
        x1, apart = (x1, None) if isolated is None else _turned_and_told(x1, isolated, rng)
        s, a = x1.numbers.shape
        late = 1.25 if isolated is None else torch.where(isolated, 2.0, 1.25)
        t = 1 - torch.rand(s, generator=rng).pow(late) * 0.999
        given = torch.rand(s, generator=rng) < 0.5
        kinds = torch.where(given[:, None], x1.numbers, 0)
        if apart is not None:  # bonds tell atoms of one element apart
            told = (apart > 0).any(-1)
            given = given | told.any(1)
            kinds = torch.where(told, torch.arange(1, a + 1), kinds)
        shown = given[:, None] | revealed(torch.rand(s, a, generator=rng), t, self.reveal_end)
        with full_precision(x1.frac.device):
            noise = self._noise(x1, kinds, isolated, rng)
        frac, frac_velocity = torus(noise, x1.frac, t)
        sizes = x1.real.sum(1)
        cell, cell_velocity = straight(torch.randn(s, 6, generator=rng), self.standardise(x1.cell, sizes), t)
        if isolated is not None:
            cell = cell.masked_fill(isolated[:, None], 0.0)
        group = self.group_shown(batch, rng)
        targets = self.targets_shown(batch, rng)
        numbers = torch.where(shown, x1.numbers, 0)
        predicted = self(numbers, frac, cell, x1.real, t, given, group, targets, isolated=isolated, apart=apart)
        hidden = x1.real & ~shown
        losses = field_losses(predicted, (frac_velocity, cell_velocity), x1, hidden, isolated)
        left = (1 - t)[:, None]
        expected = (frac + left[..., None] * predicted[0], cell + left * predicted[1], predicted[2])
        return self.penalised(losses, x1, expected, hidden, t, isolated)

    def _noise(self, x1: Crystals, kinds: Tensor, isolated: Tensor | None, rng: torch.Generator) -> Tensor:
        """(S, A, 3) noise paired with the data: uniform in cells, Gaussian around the middle of boxes."""
        uniform = torch.rand(x1.frac.shape, generator=rng)
        if isolated is None:
            return pair_noise(uniform, x1.frac, kinds, x1.real)
        mine = isolated[:, None, None]
        noise = torch.where(mine, box_noise(torch.randn(x1.frac.shape, generator=rng), x1.real), uniform)
        # Turned before atoms are exchanged and again after it: both shorten the way, neither changes the distribution.
        noise = torch.where(mine, aligned(pair_noise(noise, x1.frac, kinds, x1.real), x1.frac, x1.real), noise)
        return pair_noise(noise, x1.frac, kinds, x1.real)

    def log_prob(self, batch: Batch, *, rng: torch.Generator, steps: int = 25, probes: int = 1) -> Tensor:
        """(S,) log density in nats of coordinates and cell **given** elements and number of atoms.

        Elements follow a discrete process, whose likelihood has no such integral; it is not part of the value, so
        compare crystals of one composition only. The trace is estimated and repeats with ``rng``.

        Args:
            batch: Crystals in reduced cells, as those of a training set are.
            rng: Of the trace's probes.
            steps: From data to noise.
            probes: In each step.
        """
        return flow_log_prob(self, batch, rng, steps, probes)

    def sample_each(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        molecules: bool | None = None,
        **options: Any,
    ) -> Batch:
        """One structure a request.

        Args:
            requests: What is asked of each sample.
            rng: Streams by sample index.
            constraints: Act as :func:`matgen.generators.flow_sampler.sample_flow` says.
            molecules: Whether molecules are drawn; by default where the model has learned nothing else.
            options: Of :class:`matgen.generators.flow_sampler.Integration`. Unless it is given, molecules are drawn
                without annealing, which contracts them.
        """
        for request in requests:
            request.require_honoured_by(self.conditions, self.name)
        if molecules is None:
            molecules = self.molecules and not self.prior.any()
        if molecules and not self.molecules:
            raise ConfigError("this model has learned no molecules.", where="molecules", fix="Use 'flow-qm9'.")
        if molecules:
            how = Integration(**{"annealing": 0.0, **options})
            return sample_molecules(self, requests, how, rng=rng, constraints=constraints)
        return sample_flow(self, requests, Integration(**options), rng=rng, constraints=constraints)

    def geometries(self, smiles: Sequence[str], *, rng: Streams, steps: int = 100) -> list[Structure | str]:
        """A geometry for each molecule, drawn given its bonds, or the reason why there is none.

        Stereochemistry is left to chance: a geometry in which RDKit reads other bonds than those given, or another
        stereoisomer, is none.

        Args:
            smiles: Molecules.
            rng: Streams by index.
            steps: Network evaluations for each.
        """
        wholes = [Chem.AddHs(parse_smiles(without_stereo(text))) for text in smiles]
        reasons = [self._strange(whole) for whole in wholes]
        known = [whole for whole, reason in zip(wholes, reasons, strict=True) if not reason]
        made = iter(sample_geometries(self, known, Integration(steps=steps, annealing=0.0), rng=rng))
        return [reason or _as_written(text, next(made)) for text, reason in zip(smiles, reasons, strict=True)]

    def _strange(self, whole: Mol) -> str:
        """Why a molecule with its hydrogens is none of those that were learned; empty where it could be."""
        if whole.GetNumAtoms() > self.max_atoms:
            return f"{whole.GetNumAtoms()} atoms are more than the {self.max_atoms} that were learned from."
        foreign = sorted({a.GetSymbol() for a in whole.GetAtoms() if not self.molecule_elements[a.GetAtomicNum()]})
        return f"no molecule with {', '.join(foreign)} was learned from." if foreign else ""


def _as_written(text: str, made: Structure) -> Structure | str:
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


def _turned_and_told(x1: Crystals, isolated: Tensor, rng: torch.Generator) -> tuple[Crystals, Tensor]:
    """Molecules turned at random, and (S, A, A) the bonds between the atoms of those whose bonds are told, else 0."""
    with full_precision(x1.frac.device):
        whole = turned(x1.frac, random_rotations(len(isolated), rng))
        x1 = replace(x1, frac=torch.where(isolated[:, None, None], whole, x1.frac))
        told = isolated & (torch.rand(len(isolated), generator=rng) < BONDS_GIVEN)
        apart = bonds_apart(bonds_between(x1.numbers, x1.frac, x1.real))
    inside = x1.real[:, :, None] & x1.real[:, None] & told[:, None, None]
    return x1, apart * inside
