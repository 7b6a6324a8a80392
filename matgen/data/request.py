"""What a user may ask of any generator."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from matgen.data.fixed import Fixed
from matgen.data.property import find_property
from matgen.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """A request for structures. A field that a generator cannot honour is an error, never ignored.

    Args:
        n: How many structures.
        formula: Exact composition up to a whole multiple, for example ``SrTiO3``.
        chemical_system: Elements joined by hyphens, for example ``Li-P-S``; all of them and no others occur.
        n_atoms: Number of atoms in the primitive cell.
        space_group: International number, 1 to 230.
        target: Wanted property values by property name, in the property's unit.
        fixed: Atoms and cell that are given; the generator makes the rest.
        text: What is wanted in plain words, for generators that were trained on descriptions. It steers; nothing is
            promised.
    """

    n: int = 1
    formula: str | None = None
    chemical_system: str | None = None
    n_atoms: int | None = None
    space_group: int | None = None
    target: dict[str, float] = field(default_factory=dict)
    fixed: Fixed | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        from pymatgen.core import Element

        if isinstance(self.fixed, dict):  # as JSON brings it
            object.__setattr__(self, "fixed", Fixed(**self.fixed))
        if self.n < 1:
            raise ConfigError(f"the number of structures is {self.n}.", where="n", fix="Ask for at least 1.")
        if self.n_atoms is not None and self.n_atoms < 1:
            raise ConfigError(f"the number of atoms is {self.n_atoms}.", where="n_atoms", fix="Ask for at least 1.")
        if self.space_group is not None and not 1 <= self.space_group <= 230:
            raise ConfigError(f"{self.space_group} is no space group.", where="space_group", fix="Give 1 to 230.")
        if self.text is not None and not self.text.strip():
            raise ConfigError("the text is empty.", where="text", fix="Say what is wanted, or leave it out.")
        if self.formula is not None:
            _require_whole(self.formula)
        for symbol in self.elements:
            if not Element.is_valid_symbol(symbol):
                raise ConfigError(f"{symbol!r} is no element.", where="chemical_system")
        for name in self.target:
            find_property(name)

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of ``chemical_system``, sorted; empty when none was asked for."""
        return tuple(sorted(self.chemical_system.split("-"))) if self.chemical_system else ()

    @property
    def given(self) -> frozenset[str]:
        """Names of the fields that the user has set."""
        return frozenset(f.name for f in fields(self) if f.name != "n" and getattr(self, f.name) not in (None, {}))

    def require_honoured_by(self, conditions: frozenset[str], generator: str) -> None:
        """Raise a ConfigError if a field is set that is not among ``conditions``."""
        for name in sorted(self.given - conditions):
            raise ConfigError(
                f"the generator {generator!r} cannot honour {name!r}.",
                where=name,
                fix=f"It honours: {', '.join(sorted(conditions)) or 'nothing but n'}.",
            )


def _require_whole(formula: str) -> None:
    """Raise a ConfigError where a formula cannot be read or has no whole atom counts."""
    from pymatgen.core import Composition

    try:
        amounts = Composition(formula, strict=True).get_el_amt_dict().values()
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{formula!r} is no formula ({error}).", where="formula") from error
    if not amounts or any(abs(a - round(a)) > 1e-8 for a in amounts):
        raise ConfigError(f"{formula!r} has no whole atom counts.", where="formula", fix="Multiply it out.")
