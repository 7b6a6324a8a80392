"""Variational autoencoders of molecules: message passing on bonds to one code, and a line notation written under it.

Encoder and code: Kingma & Welling, arXiv:1312.6114, with free bits (Kingma et al., arXiv:1606.04934). The decoder is
the transformer of :mod:`matgen.generators.smiles` or :mod:`matgen.generators.selfies` with the code in every token, so
every code decodes to a valid molecule. After the training a small flow learns how codes are distributed (latent
diffusion, Rombach et al., arXiv:2112.10752).

Shapes: S molecules, L tokens, C size of a code, T targets, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.data.structures import from_batch
from matgen.errors import ConfigError
from matgen.generators.autoencoder import Autoencoder
from matgen.generators.base import GENERATORS
from matgen.generators.bond_encoder import BondEncoder
from matgen.generators.language import MoleculeLanguage
from matgen.generators.latent_prior import CodeFlow, fit_on_codes
from matgen.generators.layout import laid_out
from matgen.generators.molecule_graphs import Graphs, MoleculeSet
from matgen.generators.selfies import Selfies
from matgen.generators.smiles import Smiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.runtime import Streams

CHUNK = 1024
"""Molecules that are encoded together."""
STANDARD = 2048
"""Molecules by which the encoder is scaled before the training."""


class MoleculeVAE(Autoencoder, MoleculeLanguage):
    """One permutation-invariant code a molecule, decoded token by token; subclasses say in which notation.

    Args:
        code: C.
        encoder_width, encoder_layers: Size of the :class:`BondEncoder`.
        kl: Weight of the divergence from the standard normal, for each nat.
        free: Nats of each dimension that cost nothing.
        guide: Weight of the error of the targets that are predicted from the code.
        targets: Properties that are predicted from the code, and by which codes are chosen where one is asked for.
        settings: Of the decoder, see :class:`MoleculeLanguage`; ``orders`` is 1.
    """

    steered_by_targets = False
    conditions = frozenset({"target"})
    code_mean: Tensor
    code_std: Tensor

    def __init__(
        self,
        code: int = 64,
        encoder_width: int = 192,
        encoder_layers: int = 4,
        kl: float = 1e-3,
        free: float = 0.1,
        guide: float = 0.1,
        orders: int = 1,
        **settings: Any,
    ) -> None:
        if orders != 1:
            raise ConfigError("a code is of the molecule, whose canonical order alone is learned.", where="orders")
        super().__init__(
            **settings,
            orders=orders,
            code=code,
            encoder_width=encoder_width,
            encoder_layers=encoder_layers,
            kl=kl,
            free=free,
            guide=guide,
        )
        width = self.config["width"]
        self.code_size, self.kl, self.free, self.guide = code, kl, free, guide
        self.encoder = BondEncoder(code, encoder_width, encoder_layers, self.config["max_atoms"])
        last = nn.Linear(2 * width, width)
        self.steer = nn.Sequential(nn.Linear(code, 2 * width), nn.SiLU(), last)
        # A decoder that starts from a trained transformer begins as that transformer.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.property_head = nn.Sequential(nn.Linear(code, 128), nn.SiLU(), nn.Linear(128, len(self.targets)))
        self.code_flow = CodeFlow(code, width=256, layers=3)
        self.register_buffer("code_mean", torch.zeros(code))
        self.register_buffer("code_std", torch.ones(code))

    def gather(  # type: ignore[override]  # token sequences and graphs instead of structures
        self, sources: Sequence[str | Path], exclude: str | Path | None
    ) -> tuple[pd.DataFrame, MoleculeSet]:
        """Molecules of SMILES tables or ingested data sets as token sequences and graphs."""
        table, sequences = super().gather(sources, exclude)
        return table, MoleculeSet.join(sequences, Graphs.of(table["smiles"].tolist()))

    def gather_plain(  # type: ignore[override]  # as gather
        self, sources: Sequence[str | Path], exclude: str | Path | None, max_atoms: int
    ) -> tuple[pd.DataFrame, MoleculeSet]:
        """As of :meth:`gather`; the largest molecule is that of the autoencoder."""
        return self.gather(sources, exclude)

    def prepare(self, data: MoleculeSet) -> None:  # type: ignore[override]  # as gather
        """As of :class:`MoleculeLanguage`, with the scale of what the encoder adds up."""
        super().prepare(data)
        some = torch.randperm(data.graphs.n, generator=torch.Generator().manual_seed(0))[:STANDARD]
        self.encoder.standardise(data.graphs.select(some))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross entropy of each next token under the code, divergence, and error of the targets from the code."""
        mean, log_variance = self.encoder(Graphs.in_batch(batch))
        code = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
        steering = self.steer(code)
        tokens = batch.tokens[:, :-1].clamp_min(0)
        logits = self.head(self.network(self._embedded(batch.rooted, tokens, steering)))
        entropy = F.cross_entropy(logits.flatten(0, 1).float(), batch.tokens.flatten(), ignore_index=-1)
        nats = ((mean.square() + log_variance.exp() - log_variance - 1) / 2).mean(0)
        parts = {"entropy": entropy, "divergence": nats.clamp_min(self.free).sum(), "nats": nats.sum()}
        parts["property"] = self._property_error(code, self._standard_targets(batch))
        total = entropy + self.kl * parts["divergence"] + self.guide * parts["property"]
        return {"loss": total, **{name: value.detach() for name, value in parts.items()}}

    def finish(  # type: ignore[override]  # token sequences and graphs instead of structures
        self, data: MoleculeSet, rng: torch.Generator, steps: int = 3_000, batch: int = 512
    ) -> None:
        """Fit the code flow and the property head on the codes of the trained encoder.

        Args:
            data: What the autoencoder was trained on.
            rng: Of the noise of the codes and the order.
            steps: Steps of AdamW.
            batch: Codes in a step.
        """
        mean, deviation, wanted = self._posterior(data)
        self.code_mean.copy_(mean.mean(0))
        self.code_std.copy_((mean.var(0, correction=0) + deviation.square().mean(0)).sqrt().clamp_min(1e-3))

        def loss(code: Tensor, rows: Tensor) -> Tensor:
            standard = (code - self.code_mean) / self.code_std
            return self.code_flow.loss(standard, rng, draws=1) + self._property_error(code, wanted[rows])

        fit_on_codes([self.property_head, self.code_flow], loss, (mean, deviation), rng, steps, batch)

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tensor:
        """Codes (S, C): the means of the posterior, of the molecules in a batch of structures."""
        from matgen.data.molecules import smiles_of

        return self.encode_smiles([smiles_of(structure) for structure in from_batch(batch)])

    @torch.no_grad()
    def encode_smiles(self, smiles: Sequence[str]) -> Tensor:
        """Codes (S, C) of molecules by SMILES.

        Raises:
            ConfigError: A molecule is larger than any that the encoder can number.
        """
        graphs = Graphs.of(smiles)
        largest, most = int(graphs.sizes.max()), self.config["max_atoms"]
        if largest > most:
            raise ConfigError(f"a molecule has {largest} heavy atoms; this autoencoder reads up to {most}.")
        parts = torch.arange(len(smiles)).split(CHUNK)
        return torch.cat([self.encoder(graphs.select(part))[0] for part in parts])

    @torch.no_grad()
    def encode_prepared(self, batch: Batch) -> Tensor:
        """Codes (S, C) of a batch of a :class:`MoleculeSet`."""
        return self.encoder(Graphs.in_batch(batch))[0]

    def decode(
        self,
        codes: Tensor,
        *,
        rng: Streams,
        requests: Sequence[Request] | None = None,
        constraints: Sequence[Constraint] = (),
        conformers: bool | str = False,
        **options: Any,
    ) -> Batch:
        """One molecule for each code, with its ``smiles``.

        Args:
            codes: (S, C).
            rng: Streams by index of the code, for tokens that are drawn and for conformers.
            requests: Count where codes are chosen, not here.
            constraints: As of :meth:`MoleculeLanguage.sample_smiles`.
            conformers: As of :meth:`MoleculeLanguage.sample_each`.
            options: As of :meth:`decode_smiles`.
        """
        texts = self.decode_smiles(codes, rng=rng, constraints=constraints, **options)
        return laid_out(texts, rng, conformers)

    @torch.no_grad()
    def decode_smiles(
        self, codes: Tensor, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> list[str]:
        """Canonical SMILES of codes (S, C).

        Args:
            codes: (S, C).
            rng: Streams by index of the code.
            constraints: As of :meth:`MoleculeLanguage.sample_smiles`.
            options: ``temperature``, ``top_k``, ``top_p``, ``fragment``, ``linker_atoms``. The likeliest token is
                taken where neither of the first three is given.
        """
        if not {"temperature", "top_k", "top_p"} & set(options):
            options["top_k"] = 1
        steering = self.steer(codes)
        rooted = torch.full((len(codes),), options.get("fragment") is not None)
        first = self.start(rooted.long()) + steering
        return self.written(first, rng=rng, constraints=constraints, steering=steering, **options)

    def sample_smiles(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        candidates: int = 64,
        source: Callable[[Tensor], Tensor] | None = None,
        **options: Any,
    ) -> list[str]:
        """Canonical SMILES, one for each request, from codes of the learned distribution.

        Args:
            requests: What is asked of each sample.
            rng: Streams by sample index.
            constraints: As of :meth:`MoleculeLanguage.sample_smiles`.
            candidates: Where a target is asked, the code is the one of so many from which it is predicted best.
            source: From standard normal noise to codes; :meth:`draw_codes` where not given.
            options: As of :meth:`decode_smiles`.
        """
        codes = self.fittest_codes(
            requests, rng=rng, constraints=constraints, candidates=candidates, source=source or self.draw_codes
        )
        return self.decode_smiles(codes, rng=rng, constraints=constraints, **options)

    @torch.no_grad()
    def draw_codes(self, noise: Tensor) -> Tensor:
        """Codes (S, C) as those of the training data are distributed, from standard normal noise (S, C)."""
        return self.code_flow.sample(noise) * self.code_std + self.code_mean

    @torch.no_grad()
    def fitness(self, codes: Tensor, request: Request, constraints: Sequence[Constraint]) -> Tensor:
        """(S,) minus the distance of the targets predicted from codes (S, C) to those asked, in standard deviations."""
        wanted = ((self._wanted([request]) - self.target_mean) / self.target_std)[0]
        missed = (self.property_head(codes) - wanted).abs()
        return -missed[:, ~wanted.isnan()].sum(1)

    def chooses(self, request: Request, constraints: Sequence[Constraint]) -> bool:
        """A code is chosen where a target is asked; constraints act while the molecule is written."""
        return bool(request.target)

    @torch.no_grad()
    def properties(self, codes: Tensor) -> dict[str, Tensor]:
        """Predicted targets (S,) by name, in the property's unit."""
        values = self.property_head(codes) * self.target_std + self.target_mean
        return dict(zip(self.targets, values.unbind(1), strict=True))

    def _embedded(self, rooted: Tensor, tokens: Tensor, steering: Tensor) -> Tensor:
        """(S, L + 1, D) start and tokens (S, L), each with its molecule's steering (S, D)."""
        return torch.cat([self.start(rooted.long())[:, None], self.tokens(tokens)], dim=1) + steering[:, None]

    def _standard_targets(self, batch: Batch) -> Tensor:
        """(S, T) targets of a batch in standard deviations, NaN where unknown."""
        values = [batch[name].float() for name in self.targets]
        stacked = torch.stack(values, 1) if values else torch.zeros(len(batch.tokens), 0)
        return (stacked - self.target_mean) / self.target_std

    def _property_error(self, code: Tensor, wanted: Tensor) -> Tensor:
        """Mean over molecules of the summed error of the targets (S, T) from codes (S, C)."""
        known = ~wanted.isnan()
        miss = F.smooth_l1_loss(self.property_head(code)[known], wanted[known], reduction="sum")
        return miss / max(len(code), 1)

    @torch.no_grad()
    def _posterior(self, data: MoleculeSet) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and deviation (S, C) of every molecule's code, and its targets (S, T) in standard deviations."""
        means, deviations, wanted = [], [], []
        for indices in torch.arange(len(data)).split(CHUNK):
            batch = data.batch(indices)
            mean, log_variance = self.encoder(Graphs.in_batch(batch))
            means.append(mean)
            deviations.append((log_variance / 2).exp())
            wanted.append(self._standard_targets(batch))
        return torch.cat(means), torch.cat(deviations), torch.cat(wanted)


@GENERATORS.register("smiles-vae")
class SmilesVAE(MoleculeVAE, Smiles):
    """Decodes SMILES under the grammar that keeps valences; settings as of :class:`MoleculeVAE`."""

    name = "smiles-vae"


@GENERATORS.register("selfies-vae")
class SelfiesVAE(MoleculeVAE, Selfies):
    """Decodes SELFIES, valid whatever symbols follow each other; settings as of :class:`MoleculeVAE`."""

    name = "selfies-vae"
