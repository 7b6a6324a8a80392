"""What generators on the codes of an autoencoder share: they draw codes, the autoencoder makes structures of them.

Shapes: S systems, C size of a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from matgen.errors import ConfigError
from matgen.generators.autoencoder import Autoencoder
from matgen.generators.base import Generator, load_generator
from matgen.generators.molecule_vae import MoleculeVAE
from matgen.generators.vae import VAE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.batches import TrainingSet
    from matgen.data.request import Request
    from matgen.runtime import Streams


class LatentGenerator(Generator):
    """A distribution of codes; subclasses implement :meth:`code_loss` and :meth:`draw_codes`.

    Args:
        autoencoder: Name or folder of a trained VAE, of crystals or of molecules, which is loaded, not stored.
        max_atoms: Largest cell; that of the autoencoder counts.
        own: Further settings of the family.
    """

    conditions = VAE.conditions
    acts = VAE.acts
    code_mean: Tensor
    code_std: Tensor

    def __init__(self, autoencoder: str = "vae-mp20", max_atoms: int = 20, **own: Any) -> None:
        super().__init__(autoencoder=str(autoencoder), max_atoms=max_atoms, **own)
        model = load_generator(autoencoder)
        if not isinstance(model, Autoencoder):
            fix = "Name a trained 'vae', 'smiles-vae' or 'selfies-vae'."
            raise ConfigError(f"{autoencoder!r} is no autoencoder.", where="autoencoder", fix=fix)
        # What can be asked is a matter of the decoder; of the class, it is known for crystals only.
        vars(self).update(conditions=model.conditions, proposes=model.proposes, chunk=model.chunk)
        # In a list, so that its weights do not count as ours: they are neither trained nor saved again.
        self._autoencoder = [model.requires_grad_(False)]
        self.code_size = model.code_size
        self.register_buffer("code_mean", torch.zeros(self.code_size))
        self.register_buffer("code_std", torch.ones(self.code_size))

    @property
    def autoencoder(self) -> Autoencoder:
        """The model whose codes are drawn.

        Raises:
            ConfigError: It is another one than in the training.
        """
        model = self._autoencoder[0]
        trained_with = self.card.get("autoencoder", model.fingerprint)
        if trained_with != model.fingerprint:
            raise ConfigError(
                f"trained on codes of {trained_with}, but the autoencoder is now {model.fingerprint}.",
                where=self.config["autoencoder"],
                fix="Train this model again.",
            )
        return model

    def gather(self, sources: Sequence[str | Path], exclude: str | Path | None) -> tuple[pd.DataFrame, TrainingSet]:
        """As of :class:`Generator`, with the code of each structure, which no step of the training changes."""
        table, data = self.autoencoder.gather_plain(sources, exclude, self.config["max_atoms"])
        data.system["code"] = self._codes(data)
        return table, data

    def prepare(self, data: TrainingSet) -> None:
        """Take mean and spread of the codes from the training data."""
        codes = data.system["code"] if "code" in data.system else self._codes(data)
        self.code_mean.copy_(codes.mean(0))
        self.code_std.copy_(codes.std(0, correction=0).clamp_min(1e-3))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """See :meth:`code_loss`, on standardised codes of the batch."""
        codes = batch.code if "code" in batch else self.autoencoder.encode_prepared(batch)
        return self.code_loss((codes - self.code_mean) / self.code_std, rng)

    def _codes(self, data: TrainingSet) -> Tensor:
        """(S, C) of a whole training set."""
        parts = torch.arange(len(data)).split(256)
        return torch.cat([self.autoencoder.encode_prepared(data.batch(part)) for part in parts])

    def code_loss(self, codes: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Losses on standardised codes (S, C)."""
        raise NotImplementedError

    def draw_codes(self, noise: Tensor) -> Tensor:
        """Codes (S, C) from standard normal noise (S, C)."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tensor:
        """Codes (S, C) of structures, as the autoencoder gives them."""
        return self.autoencoder.encode(batch)

    def decode(self, codes: Tensor, *, rng: Streams, **options: Any) -> Batch:
        """Structures of codes; see the ``decode`` of the autoencoder."""
        return self.autoencoder.decode(codes, rng=rng, **options)

    def sample_each(
        self, requests: Sequence[Request], *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """One structure a request; arguments as of :meth:`matgen.generators.autoencoder.Autoencoder.sample_each`."""
        self.autoencoder.require_usable(constraints)
        return self.autoencoder.sample_each(
            requests, rng=rng, constraints=constraints, source=self.draw_codes, **options
        )

    def sample_smiles(self, requests: Sequence[Request], **options: Any) -> list[str]:
        """One canonical SMILES a request, where the autoencoder is of molecules; see its ``sample_smiles``."""
        if not isinstance(self.autoencoder, MoleculeVAE):
            raise ConfigError(f"{self.config['autoencoder']!r} writes no SMILES.", where="autoencoder")
        return self.autoencoder.sample_smiles(requests, source=self.draw_codes, **options)

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` structures; see :meth:`sample_each`."""
        return self.sample_each([request] * request.n, rng=rng, constraints=constraints, **options)

    def save(self, folder: str | Path, *, half: bool = False, **facts: Any) -> None:
        """As of :class:`Generator`; the card names the autoencoder by its fingerprint."""
        super().save(folder, half=half, autoencoder=self.autoencoder.fingerprint, **facts)
