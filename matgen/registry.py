"""Parts found by name: built in, in a user's own file, or in another installed distribution.

A part joins with one decorated class or function::

    @GENERATORS.register("mine")
    class Mine(Generator): ...

Modules of the registry's package are imported on the first look-up, so importing matgen stays cheap.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from matgen.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

USER_FILES: list[str] = []
"""The users' own Python files that were imported, so that worker processes can import them too."""


class Registry(Generic[T]):
    """Named parts of one kind.

    Args:
        kind: Singular noun used in messages and, in the plural, as the entry-point group ``matgen.<kind>s``.
        package: Dotted name of the package whose modules register the built-in parts.
        modules: Dotted names of further modules that do, on floors above that package.
    """

    def __init__(self, kind: str, package: str, modules: tuple[str, ...] = ()) -> None:
        self.kind, self.package, self.modules = kind, package, modules
        self._parts: dict[str, T] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that enters a part under ``name``; a second, different part of that name is an error."""

        def enter(part: T) -> T:
            known = self._parts.setdefault(name, part)
            if _origin(known) != _origin(part):
                raise ConfigError(
                    f"two {self.kind}s are called {name!r}: {_origin(known)} and {_origin(part)}.",
                    fix="Rename one of them.",
                )
            self._parts[name] = part
            return part

        return enter

    def get(self, name: str) -> T:
        """Return the part called ``name``, or raise a ConfigError that suggests the nearest names."""
        if name not in self:
            raise ConfigError(f"there is no {self.kind} called {name!r}.", fix=did_you_mean(name, self._parts))
        return self._parts[name]

    def names(self) -> list[str]:
        """Names of all parts, sorted."""
        self._load()
        return sorted(self._parts)

    def __contains__(self, name: object) -> bool:
        if name not in self._parts and isinstance(name, str):
            self._load_module(name.replace("-", "_"))
        if name not in self._parts:
            self._load()
        return name in self._parts

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return iter([(name, self._parts[name]) for name in self.names()])

    def _load_module(self, name: str) -> None:
        """Import only the module called like the part, where there is one, since importing all takes seconds."""
        package = importlib.import_module(self.package)
        if name.isidentifier() and any(module.name == name for module in pkgutil.iter_modules(package.__path__)):
            importlib.import_module(f"{self.package}.{name}")

    def _load(self) -> None:
        if self._complete:
            return
        self._complete = True  # at once, so that a module may look something up while it is imported
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")
            for module_name in self.modules:
                importlib.import_module(module_name)
            for entry in entry_points(group=f"matgen.{self.kind}s"):
                self.register(entry.name)(entry.load())
        except BaseException:
            self._complete = False
            raise


def load_user_file(path: str | Path) -> None:
    """Import a user's own Python file, so that the parts it registers can be named in the workflow.

    This runs the file: name only files you would run yourself.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise ConfigError("no such Python file.", where=str(path), fix="Check the path under 'plugins'.")
    spec = importlib.util.spec_from_file_location(f"matgen_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError("not a Python file.", where=str(path), fix="Name a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # so that its classes can travel to worker processes by name
    spec.loader.exec_module(module)
    USER_FILES.append(str(path))


def summary(part: object) -> str:
    """First line of a part's docstring."""
    return (getattr(part, "__doc__", None) or "").strip().split("\n")[0]


def _origin(part: object) -> str:
    return f"{getattr(part, '__module__', '?')}.{getattr(part, '__qualname__', part)}"
