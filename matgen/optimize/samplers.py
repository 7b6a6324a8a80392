"""Samplers and pruners by the names that workflow files give them; all but one are Optuna's own."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning
from pydantic import TypeAdapter, ValidationError

from matgen.errors import ConfigError, did_you_mean
from matgen.optimize.parts import Spec, named
from matgen.optimize.surrogate_sampler import Surrogate, SurrogateSampler
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matgen.optimize.aims import Aim, Limit
    from matgen.optimize.spaces.base import Space

SAMPLERS: dict[str, str] = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cma-es": "CmaEsSampler",
    "nsga-ii": "NSGAIISampler",
    "nsga-iii": "NSGAIIISampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
}
"""Optuna's samplers that need nothing but settings."""

OTHERS = ("grid", "botorch", "surrogate")
"""Samplers that need the space, another package or matgen's models."""

PRUNERS: dict[str, str] = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "hyperband": "HyperbandPruner",
    "successive-halving": "SuccessiveHalvingPruner",
    "percentile": "PercentilePruner",
    "wilcoxon": "WilcoxonPruner",
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "tpe": {"multivariate": True},
    "qmc": {"warn_independent_sampling": False, "warn_asynchronous_seeding": False},
    "cma-es": {"warn_independent_sampling": False},
    "percentile": {"percentile": 50.0},
}


class Grid(optuna.samplers.GridSampler):
    """Optuna's grid for a loop that asks and tells: it does not stop the study, the loop asks whether it is done."""

    def after_trial(self, *_: Any) -> None:
        """Nothing; Optuna's own would call ``Study.stop``, which works inside ``Study.optimize`` only."""


class Tpe(optuna.samplers.TPESampler):
    """Optuna's, which keeps its two densities as long as no result arrives, such as during a batch."""

    _kept: dict[bool, tuple[Any, Any]]

    def _build_parzen_estimator(
        self, study: optuna.Study, search_space: dict[str, Any], trials: list[Any], handle_below: bool
    ) -> Any:
        if self._constant_liar:  # running trials count too, and their parameters arrive one by one
            return super()._build_parzen_estimator(study, search_space, trials, handle_below)
        self.__dict__.setdefault("_kept", {})
        built_for = (study._study_id, tuple(search_space.items()), [trial.number for trial in trials])
        if handle_below not in self._kept or self._kept[handle_below][0] != built_for:
            made = super()._build_parzen_estimator(study, search_space, trials, handle_below)
            self._kept[handle_below] = (built_for, made)
        return self._kept[handle_below][1]


def build_sampler(
    spec: Spec, seed: int, space: Space, aims: Sequence[Aim], limits: Sequence[Limit] = ()
) -> optuna.samplers.BaseSampler:
    """The sampler that a workflow names.

    Args:
        spec: Name, or name with settings as Optuna calls them.
        seed: Of everything random.
        space: What is searched; a grid takes its values from it.
        aims: Objectives.
        limits: Bounds on other values.

    Raises:
        ConfigError: Unknown name or setting, or a sampler that cannot do what is asked.
        MissingPackageError: The sampler's package is not installed.
    """
    name, settings = named(spec, "sampler")
    if name == "surrogate":
        return SurrogateSampler(space, aims, limits, _checked(settings), seed)
    if name == "grid":
        return Grid(space.grid(), seed=seed)
    if name == "botorch":
        module = require("optuna_integration.botorch", "search")
        return _made(module.BoTorchSampler, name, {"seed": seed, **settings})
    if name not in SAMPLERS:
        fix = did_you_mean(name, [*SAMPLERS, *OTHERS])
        raise ConfigError(f"there is no sampler called {name!r}.", where="sampler", fix=fix)
    if name == "cma-es":
        require("cmaes", "search")
        if len(aims) > 1:
            raise ConfigError("'cma-es' has one objective only.", where="sampler", fix="Use 'nsga-ii' or 'tpe'.")
    kind = Tpe if name == "tpe" else getattr(optuna.samplers, SAMPLERS[name])
    return _made(kind, name, {"seed": seed, **settings})


def build_pruner(spec: Spec) -> optuna.pruners.BasePruner:
    """The pruner that a workflow names.

    Raises:
        ConfigError: Unknown name or setting.
    """
    name, settings = named(spec, "pruner")
    if name not in PRUNERS:
        raise ConfigError(f"there is no pruner called {name!r}.", where="pruner", fix=did_you_mean(name, PRUNERS))
    return _made(getattr(optuna.pruners, PRUNERS[name]), name, settings)


def _made(kind: Callable[..., Any], name: str, settings: Mapping[str, Any]) -> Any:
    known = [key for key in inspect.signature(kind).parameters if key != "self"]
    for key in settings:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}.", where=f"{name}.{key}", fix=did_you_mean(key, known))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return kind(**{**DEFAULTS.get(name, {}), **settings})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{' '.join(str(error).split())}", where=name) from error


def _checked(settings: Mapping[str, Any]) -> Surrogate:
    known = list(Surrogate.__dataclass_fields__)
    for key in settings:
        if key not in known:
            fix = did_you_mean(key, known)
            raise ConfigError(f"surrogate has no setting {key!r}.", where=f"sampler.surrogate.{key}", fix=fix)
    try:
        return TypeAdapter(Surrogate).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{first['msg'].lower()}, found {first['input']!r}.", where="sampler.surrogate") from error
