"""A rule of one's own as a line of text: parsed by a small grammar, never run as code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from matgen.constraints.base import CONSTRAINTS, Constraint, Role, Verdict
from matgen.constraints.expression_mask import MOST_ELEMENTS, OfCounts, rule_mask
from matgen.elements import number
from matgen.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from pymatgen.core import Structure

Node = TypeVar("Node", bound=ast.AST)
Value = float | bool


class Facts(Protocol):
    """What a rule may ask of a material."""

    def n(self, symbol: str) -> float:
        """Atoms of an element."""
        ...

    def quantity(self, name: str) -> float:
        """One of :data:`QUANTITIES`."""
        ...


Term = Callable[[Facts], Value]

OF_COMPOSITION = ("n_atoms", "n_elements")
"""Names that the composition decides."""

QUANTITIES: Mapping[str, Callable[[Structure], float]] = {
    "n_atoms": len,
    "n_elements": lambda s: len(s.composition),
    "volume_per_atom": lambda s: float(s.volume) / len(s),
    "density": lambda s: float(s.density),
    "a": lambda s: float(s.lattice.a),
    "b": lambda s: float(s.lattice.b),
    "c": lambda s: float(s.lattice.c),
}
"""Names in an expression: counts, Å³/atom, g/cm³, Å."""

OF_ELEMENT: Mapping[str, Callable[[Facts, str], float]] = {
    "n": lambda facts, symbol: facts.n(symbol),
    "x": lambda facts, symbol: facts.n(symbol) / facts.quantity("n_atoms"),
}
"""Functions of an element's symbol: atoms in the cell, atomic fraction."""

ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
COMPARISONS: Mapping[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
LONGEST = 500
"""Characters; a longer rule deserves a function in a file."""


@dataclass(frozen=True)
class _OfStructure:
    """The facts of a structure."""

    structure: Structure

    def n(self, symbol: str) -> float:
        return float(self.structure.composition[symbol])

    def quantity(self, name: str) -> float:
        return QUANTITIES[name](self.structure)


@CONSTRAINTS.register("expression")
@dataclass(frozen=True)
class Expression(Constraint):
    """A comparison that must hold, such as ``n("O") >= 2*n("Ti") and density < 6``. The score is 1 or 0.

    Known are ``n("O")`` (atoms in the cell), ``x("O")`` (atomic fraction), ``n_atoms``, ``n_elements``,
    ``volume_per_atom`` (Å³), ``density`` (g/cm³), ``a``, ``b``, ``c`` (Å), numbers, ``+ - * /``, comparisons, ``and``,
    ``or``, ``not`` and brackets. A division by zero fails the structure.

    A rule that names only elements, ``n_atoms`` and ``n_elements`` is also a mask, and an exact one: an element is
    allowed wherever some filling of the remaining atoms keeps the rule (:mod:`.expression_mask`).

    Args:
        rule: The text.
    """

    name: ClassVar[str] = "expression"

    rule: str

    def __post_init__(self) -> None:
        _ = self._holds

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the rule holds."""
        reasons = [self._reason(structure) for structure in structures]
        return Verdict.of([float(reason is None) for reason in reasons], reasons)

    def available(self) -> tuple[Role, ...]:
        """A mask only where the composition decides and names few enough elements."""
        decided = set(self.quantities) <= set(OF_COMPOSITION) and len(self.elements) <= MOST_ELEMENTS
        return self.roles() if decided else ("check",)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements after which the rule can still hold."""
        self.require_role("mask")
        return rule_mask(self, numbers, real)

    def permits(self, numbers: np.ndarray) -> bool:
        """Whether a composition keeps the rule."""
        self.require_role("mask")
        return self.holds(OfCounts.of(numbers))

    def holds(self, facts: Facts) -> bool:
        """Whether the rule holds; not where it divides by zero."""
        try:
            return bool(self._holds(facts))
        except ZeroDivisionError:
            return False

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Symbols that the rule names, in alphabetical order."""
        return tuple(
            sorted({str(constant.value) for constant in self._nodes(ast.Constant) if isinstance(constant.value, str)})
        )

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """Quantities that the rule names."""
        return tuple(sorted({name.id for name in self._nodes(ast.Name)} - set(OF_ELEMENT)))

    def _nodes(self, kind: type[Node]) -> list[Node]:
        return [node for node in ast.walk(ast.parse(self.rule.strip(), mode="eval")) if isinstance(node, kind)]

    @cached_property
    def _holds(self) -> Term:
        if len(self.rule) > LONGEST:
            raise self._error(f"the rule has {len(self.rule)} characters, allowed are {LONGEST}.")
        try:
            tree = ast.parse(self.rule.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._error(f"{self.rule!r} is no rule ({error}).") from error
        if not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp):
            raise self._error(f"{self.rule!r} compares nothing.")
        return self._term(tree)

    def _reason(self, structure: Structure) -> str | None:
        try:
            holds = self._holds(_OfStructure(structure))
            return None if holds else f"{structure.composition.formula} does not keep the rule {self.rule}"
        except ZeroDivisionError:
            return f"{structure.composition.formula} leads to a division by zero in the rule {self.rule}"

    def _term(self, node: ast.expr) -> Term:
        """A node of the grammar as a function of the facts; everything else is refused."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self._number(node, value)
            case ast.Name(id=name):
                if name not in QUANTITIES:
                    raise self._error(f"{name!r} is no quantity.", node, did_you_mean(name, QUANTITIES))
                return lambda facts: facts.quantity(name)
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str() as symbol)], keywords=[]):
                return self._of_element(node, name, symbol)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                return _joined(ARITHMETIC[type(op)], self._term(left), self._term(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self._term(operand)
                return lambda s: -float(inner(s))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._term(operand)
                return lambda s: not inner(s)
            case ast.BoolOp(op=op, values=values):
                terms, every = [self._term(value) for value in values], isinstance(op, ast.And)
                return lambda s: (all if every else any)(term(s) for term in terms)
            case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARISONS for op in ops):
                return self._compared([left, *others], ops)
        raise self._error(f"{ast.unparse(node)!r} is not part of the grammar.", node)

    def _number(self, node: ast.expr, value: float) -> Term:
        try:
            plain = float(value)
        except OverflowError as error:
            raise self._error("a number is too large.", node) from error
        return lambda _: plain

    def _of_element(self, node: ast.expr, name: str, symbol: str) -> Term:
        if name not in OF_ELEMENT:
            raise self._error(f"{name!r} is no function of an element.", node, did_you_mean(name, OF_ELEMENT))
        number(symbol)
        count = OF_ELEMENT[name]
        return lambda s: count(s, symbol)

    def _compared(self, nodes: Sequence[ast.expr], ops: Sequence[ast.cmpop]) -> Term:
        terms = [self._term(node) for node in nodes]
        tests = [COMPARISONS[type(op)] for op in ops]
        return lambda s: all(
            test(float(left(s)), float(right(s))) for test, left, right in zip(tests, terms, terms[1:], strict=False)
        )

    def _error(self, what: str, node: ast.expr | None = None, fix: str | None = None) -> ConfigError:
        place = self.name if node is None else f"{self.name}, character {node.col_offset + 1}"
        known = f'Known: {", ".join(QUANTITIES)}, n("O"), x("O"), + - * /, comparisons, and, or, not.'
        return ConfigError(what, where=place, fix=fix or known)


def _joined(combine: Callable[[float, float], float], left: Term, right: Term) -> Term:
    return lambda s: combine(float(left(s)), float(right(s)))
