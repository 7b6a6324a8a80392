"""The typed recipe by which a generator is trained: which family, how large, for how long, what its card says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from matgen.workflow.config import Count, Positive, Section, Share

if TYPE_CHECKING:
    from matgen.training import Training

Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainingSection(Section):
    """Settings of :class:`matgen.training.Training`, with the bounds that make sense."""

    steps: Count = 20_000
    atoms: Count = 2_560
    lr: Positive = 8e-4
    warmup: Count = 500
    cooldown: Share = 0.3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Positive = 1.0
    ema: Share = 0.9995
    precision: Literal["bf16-mixed", "16-mixed", "32-true"] = "32-true"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    save_every: Count = 250
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    optimizer: Literal["adamw", "adam", "sgd", "adagrad"] = "adamw"
    betas: Annotated[tuple[Decay, Decay], Field(strict=False)] = (0.9, 0.98)

    def settings(self) -> Training:
        """The settings of the training loop."""
        from matgen.training import Training

        return Training(**self.model_dump())


class GeneratorRecipe(Section):
    """Arguments of :func:`matgen.generators.training.train` that do not depend on where files lie.

    Args:
        generator: Name in the registry.
        config: Settings of the generator by name.
        max_atoms: Larger cells are left out.
        validation: Share of the structures that is held out.
        half: Store the weights in half precision.
        start_from: Trained generator whose weights this one starts from where name and shape agree.
        training: Settings of the training loop.
        facts: What the card says besides: data, licence, intended use, limits.
    """

    generator: str = "flow"
    config: Annotated[dict[str, Any], Field(default_factory=dict)]
    max_atoms: Count = 20
    validation: Share = 0.02
    half: bool = False
    start_from: str | None = None
    training: TrainingSection = TrainingSection()
    facts: Annotated[dict[str, Any], Field(default_factory=dict)]
