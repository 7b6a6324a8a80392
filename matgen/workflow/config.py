"""Typed workflow configurations: pydantic models whose spelling is YAML, refused in one clear message when wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from matgen.errors import ConfigError, did_you_mean
from matgen.registry import Registry, load_user_file
from matgen.workflow.spelling import override, read_yaml, write_yaml

if TYPE_CHECKING:
    from matgen.workflow.stage import Stage

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
LocalPath = Annotated[Path, Field(strict=False), AfterValidator(lambda path: path.expanduser().absolute())]
"""A path; relative ones count from the folder in which the command is typed."""


class Section(BaseModel):
    """A part of a configuration: unknown keys, values of another type and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Workflow(Section):
    """What every workflow file may say.

    Args:
        workflow: Name of the kind of workflow.
        seed: From which every random stream of the run is derived.
        plugins: The user's own Python files, whose parts may then be named. They are run: name only your own.
        workers: Worker processes; 0 is one for each core. Results do not depend on it.
        memory: Limit on the data of one worker, GiB; null for none.
        network_folder: Run on a network file system, with one host alone at work.
    """

    workflow: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    plugins: list[LocalPath] = []
    workers: Annotated[int, Field(ge=0)] = 0
    memory: Positive | None = None
    network_folder: bool = False

    def check(self) -> None:
        """Raise a ConfigError for what types alone cannot tell: unknown names, missing files, impossible requests."""

    def stages(self) -> list[Stage]:
        """The stages of a run, in order."""
        raise NotImplementedError

    def finish(self, folder: Path, done: Mapping[str, Path]) -> list[str]:
        """Lay out the final products of a run from the folders of its stages.

        Args:
            folder: The run's folder, which already holds ``config.yaml``, ``environment.json`` and ``run.json``.
            done: Folder of each stage, by name.

        Returns:
            Names of the products.
        """
        raise NotImplementedError

    def text(self) -> str:
        """The configuration with every default spelled out, as YAML that reproduces the run."""
        return write_yaml(self.model_dump(mode="json"))


WORKFLOWS: Registry[type[Workflow]] = Registry("workflow", "matgen.workflow.kinds")


def load_workflow(
    source: Workflow | str | Path | Mapping[str, Any], settings: Sequence[str] = (), *, check: bool = True
) -> Workflow:
    """The configuration in a workflow file, with overrides.

    Args:
        source: A YAML file, the name of a workflow (which then has its defaults), a mapping, or a finished
            configuration.
        settings: Overrides as ``section.name=value``.
        check: Also check names and files, which imports the parts that are named.

    Raises:
        ConfigError: Something in it cannot be honoured; the message names the place and the nearest valid name.
    """
    raw, where = _raw(source)
    kind = _kind(override(raw, [s for s in settings if s.startswith(("workflow=", "plugins"))]), where)
    # An override may reach into a default, such as an entry of a list, that the file does not spell out.
    touched = {setting.partition("=")[0].split(".")[0].strip() for setting in settings}
    defaults = kind.model_construct().model_dump(mode="json", include=touched)
    raw = override(_over(defaults, raw), settings)
    try:
        config = kind.model_validate(raw)
    except ValidationError as error:
        raise explain(error, kind, where) from error
    if check:
        config.check()
    return config


def explain(error: ValidationError, kind: type[BaseModel], where: str) -> ConfigError:
    """Pydantic's findings as one ConfigError that names each place, the value there, and the nearest valid name."""
    found = [_finding(kind, details) for details in error.errors(include_url=False)]
    if len(found) == 1:
        place, what, fix = found[0]
        return ConfigError(what, where=f"{where}: {place}", fix=fix)
    lines = [" ".join(part for part in (f"{place}: {what}", fix) if part) for place, what, fix in found]
    return ConfigError("\n  ".join([f"{len(found)} things cannot be honoured:", *lines]), where=where)


def _kind(raw: Mapping[str, Any], where: str) -> type[Workflow]:
    """The kind of workflow that a file names, once its plugins are loaded."""
    for plugin in raw.get("plugins") or []:
        load_user_file(Path(str(plugin)).expanduser())
    name = raw.get("workflow")
    if name not in WORKFLOWS:
        fix = did_you_mean(str(name), WORKFLOWS.names())
        raise ConfigError(f"{name!r} is no kind of workflow.", where=f"{where}: workflow", fix=fix)
    return WORKFLOWS.get(str(name))


def _over(defaults: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings of defaults with what is given laid over them."""
    return {**defaults, **{key: _laid(defaults.get(key), value) for key, value in given.items()}}


def _laid(default: Any, given: Any) -> Any:
    if not isinstance(default, dict) or not isinstance(given, dict):
        return given
    if len(default) == 1 and given and not default.keys() & given.keys():
        return given  # another part than the default one, as in ``space: {latent: {...}}``
    return _over(default, given)


def _raw(source: Workflow | str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    if isinstance(source, Workflow):
        return source.model_dump(mode="json"), source.workflow
    if isinstance(source, Mapping):
        return dict(source), "workflow"
    path = Path(source)
    if path.is_file():
        return read_yaml(path), str(path)
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        near = sorted(map(str, path.parent.glob("*.yaml"))) if path.parent.is_dir() else []
        fix = did_you_mean(str(path), near) if near else "Check the path."
        raise ConfigError("no such workflow file.", where=str(path), fix=fix)
    if str(source) in WORKFLOWS:
        return {"workflow": str(source)}, str(source)
    known = [*WORKFLOWS.names(), *map(str, Path().glob("*.yaml")), *map(str, Path("workflows").glob("*.yaml"))]
    raise ConfigError(f"there is no workflow {str(source)!r}.", fix=did_you_mean(str(source), known))


def _finding(kind: type[BaseModel], details: Any) -> tuple[str, str, str | None]:
    """Place, what is wrong there, and what to do."""
    loc, value = details["loc"], details["input"]
    place = ".".join(map(str, loc)) or "top"
    match details["type"]:
        case "extra_forbidden":
            return place, f"there is no key {str(loc[-1])!r}.", did_you_mean(str(loc[-1]), _keys(kind, loc[:-1]))
        case "missing":
            return place, "this key is missing.", None
        case "literal_error":
            known = re.findall(r"'([^']*)'", details["ctx"]["expected"])
            return place, f"{value!r} is not known.", did_you_mean(str(value), known)
        case "value_error":
            said = str(details["ctx"]["error"])
            return place, said if said.endswith((".", "?")) else f"{said}.", None
    said = details["msg"].removeprefix("Input ")
    return place, f"the value {said}, found {_short(value)}.", None


def _keys(kind: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that the section at ``loc`` has."""
    for part in loc:
        if isinstance(part, str) and part in kind.model_fields:
            kind = _section(kind.model_fields[part].annotation) or kind
    return list(kind.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The one section class inside an annotation such as ``list[X]`` or ``X | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
