"""The periodic table as inline SVG, each element shaded by how many candidates contain it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from markupsafe import Markup
from pymatgen.core import Element

from matgen.report.axes import plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

PITCH, SIDE = 28.0, 26.0
"""Distance of cells and width of one, in pixels."""
LAST = 103
F_ROWS = ((57, 7.4), (89, 8.4))
"""First atomic number and row of the f elements, which stand below the table."""


def element_map(structures: Sequence[Structure]) -> Markup:
    """The elements of the candidates on the periodic table."""
    counts = Counter(symbol for s in structures for symbol in {species.symbol for species in s.species})
    cells = [_cell(Element.from_Z(z), counts, len(structures)) for z in range(1, LAST + 1)]
    body = Markup('<g transform="translate(8 6)">{}</g>').format(Markup("").join(cells))
    return plot(body, f"Elements in {len(structures)} candidates", height=PITCH * 9.4 + 12)


def _cell(element: Element, counts: Counter[str], total: int) -> Markup:
    n = counts[element.symbol]
    share = n / max(counts.values(), default=1)
    column, row = _place(element)
    return Markup(
        '<g class="{kind}" transform="translate({x:.1f} {y:.1f})"><rect class="empty" width="{side}" height="{side}"'
        ' rx="3"/><rect class="shade" width="{side}" height="{side}" rx="3" opacity="{shade:.2f}"/>'
        '<text x="{mid}" y="{base}" text-anchor="middle">{symbol}</text><title>{title}</title></g>'
    ).format(
        kind="element strong" if share > 0.5 else "element" if n else "element unused",
        x=column * PITCH,
        y=row * PITCH,
        side=SIDE,
        shade=0.15 + 0.85 * share if n else 0.0,
        mid=SIDE / 2,
        base=SIDE / 2 + 3.5,
        symbol=element.symbol,
        title=f"{element.long_name}: in {n} of {total} candidates",
    )


def _place(element: Element) -> tuple[float, float]:
    """Column and row, counted from 0."""
    for first, row in F_ROWS:
        if first <= element.Z < first + 15:
            return 2.0 + element.Z - first, row
    return element.group - 1.0, element.row - 1.0
