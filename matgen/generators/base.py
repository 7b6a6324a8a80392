"""The contract of a generator, and how its weights travel.

Shapes: A atoms, S systems. Time runs from 0 (noise) to 1 (data).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from matgen.errors import ConfigError, did_you_mean
from matgen.registry import Registry
from matgen.runtime import content_id, file_id, whole_file, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import torch
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint, Role
    from matgen.data.batches import TrainingSet
    from matgen.data.request import Request
    from matgen.runtime import Streams

GENERATORS: Registry[type[Generator]] = Registry("generator", "matgen.generators")
SHIPPED = Path(__file__).parent.parent / "models"
WEIGHTS, CARD = "weights.safetensors", "card.json"


class Generator(nn.Module):
    """Proposes structures.

    Subclasses are built from the keyword arguments in ``config``, set ``name``, ``tasks`` and ``conditions``, and
    implement :meth:`sample`; learned ones also :meth:`loss`. Optional abilities: ``encode``/``decode`` (a
    latent space) and ``log_prob`` (a likelihood).
    """

    name: ClassVar[str]
    conditions: ClassVar[frozenset[str]] = frozenset()
    """Request fields that it honours; any other field in a request is refused."""
    proposes: ClassVar[str] = "crystals"
    """What it is compared on: ``crystals`` or ``molecules``."""
    chunk: ClassVar[int] = 64
    """Samples that are drawn together; fixed, so that results depend on neither shards nor workers."""
    acts: ClassVar[frozenset[Role]] = frozenset({"mask"})
    """Roles in which constraints can act inside its sampling."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = config
        self.card: dict[str, Any] = {"generator": self.name, "config": config}

    @property
    def fingerprint(self) -> str:
        """Identifies the model in candidate ids: the hash of its weights, or of its settings if it has none."""
        return str(self.card.get("fingerprint") or content_id(self.name, self.config))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Scalar losses by name; their sum under ``"loss"`` is minimised."""
        raise ConfigError(f"the generator {self.name!r} is not trained.", fix="It samples as it is.")

    def gather(self, sources: Sequence[str | Path], exclude: str | Path | None) -> tuple[pd.DataFrame, TrainingSet]:
        """Rows and tensors to learn from: the structures of data sets, unless a generator learns from other columns.

        Args:
            sources: Ingested data sets or structure files.
            exclude: A data set whose ids must not be learned from.
        """
        from matgen.generators.training import gather_structures

        return gather_structures(sources, exclude, self.config["max_atoms"], self.config.get("targets", []))

    def prepare(self, data: TrainingSet) -> None:
        """Take from the training data what is not learned by gradient, before the training begins."""

    def finish(self, data: TrainingSet, rng: torch.Generator) -> None:
        """Fit what is learned after the training, on the trained weights, before they are saved."""

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` structures; sample ``i`` draws only from ``rng.at(i)``.

        Args:
            request: What is asked; refused if a field is not among ``conditions``.
            rng: Streams by sample index.
            constraints: Act inside sampling through ``mask``, ``penalty`` (guidance) and ``project``.
            options: How to sample, as the generator documents.
        """
        raise NotImplementedError

    @classmethod
    def require_usable(cls, constraints: Sequence[Constraint]) -> None:
        """Raise a ConfigError where a constraint can act in none of the ways that this generator offers.

        A constraint that names its roles must find each of them here; ``check`` acts on finished samples anywhere.
        """
        for constraint in constraints:
            named = set(constraint.acting or ()) - {"check"}
            lacking = sorted(named - cls.acts)
            if lacking or (constraint.acting is None and not cls.acts & set(constraint.available())):
                raise ConfigError(
                    f"constraints act in the generator {cls.name!r} as {', '.join(sorted(cls.acts))}; "
                    f"{constraint.name!r} {'is asked' if lacking else 'is able'} to act as "
                    f"{', '.join(lacking or constraint.available())}.",
                    where="constraints",
                    fix="Use another generator, or the constraint as a filter after sampling (roles: [check]).",
                )

    def sample_each(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        **options: Any,
    ) -> Batch:
        """One structure for each request (the first that :meth:`sample` gives), in order."""
        from torch_geometric.data import Batch

        batches = [
            self.sample(replace(request, n=1), rng=rng.shifted(i), constraints=constraints, **options)
            for i, request in enumerate(requests)
        ]
        return Batch.from_data_list([batch[0] for batch in batches])

    def save(self, folder: str | Path, *, half: bool = False, **facts: Any) -> None:
        """Write ``weights.safetensors`` and ``card.json``; ``facts`` (data, metrics, licence ...) join the card.

        With ``half`` the matrices are stored in half precision, which halves the file.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        matrices = {name for name, parameter in self.named_parameters() if half and parameter.ndim >= 2}
        tensors = {k: (v.half() if k in matrices else v).contiguous() for k, v in self.state_dict().items()}
        with whole_file(folder / WEIGHTS) as temporary:
            save_file(tensors, temporary)
        self.card = {**self.card, **facts, "fingerprint": file_id(folder / WEIGHTS)}
        write_json(folder / CARD, self.card)


def load_generator(name: str | Path, **config: Any) -> Generator:
    """A generator by shipped model name, registry name (settings in ``config``), or folder of saved weights.

    Raises:
        ConfigError: No such model, or its weights and card do not belong together.
    """
    folder = next((f for f in (Path(name), SHIPPED / str(name)) if (f / CARD).is_file()), None)
    if folder is None:
        if str(name) not in GENERATORS:
            known = [*GENERATORS.names(), *shipped_models("generator")]
            raise ConfigError(f"no generator or model is called {str(name)!r}.", fix=did_you_mean(str(name), known))
        return GENERATORS.get(str(name))(**config)
    return _load(folder)


def shipped_models(kind: str) -> list[str]:
    """Names of the models in the package whose card names a part of this kind (``generator``, ``surrogate``)."""
    return sorted(card.parent.name for card in SHIPPED.glob(f"*/{CARD}") if kind in json.loads(card.read_text()))


def _load(folder: Path) -> Generator:
    from safetensors.torch import load_file

    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    if card.get("fingerprint") != file_id(folder / WEIGHTS):
        raise ConfigError("weights and card do not belong together.", where=str(folder), fix="Copy the folder again.")
    model = GENERATORS.get(card["generator"])(**card["config"])
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise ConfigError(f"the weights do not fit the card: {error}", where=str(folder)) from error
    model.card = card
    return model.eval()
