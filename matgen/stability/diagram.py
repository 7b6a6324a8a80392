"""Drawing the convex hull of a chemical system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.analysis.phase_diagram import PDPlotter, PhaseDiagram
from pymatgen.core import Element

from matgen.errors import ConfigError
from matgen.runtime import whole_file
from matgen.stability.references import ReferenceTable, load_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_ABOVE = 0.2
"""Unstable entries are drawn up to this far above the hull, eV/atom."""


def draw_hull(
    system: Sequence[str], out: str | Path, reference: str | Path | ReferenceTable = "chgnet-0.3.0"
) -> dict[str, Any]:
    """Draw the hull of two to four elements.

    Args:
        system: Chemical symbols.
        out: ``.html`` (interactive, opens offline) or ``.png``.
        reference: Name of a shipped table, path of one's own, a table, or ``mp``.

    Returns:
        ``reference``, and the formulas that are ``stable`` and ``unstable`` in it.

    Raises:
        ConfigError: Not two to four elements, an element without a reference, or another kind of file.
    """
    table = reference if isinstance(reference, ReferenceTable) else load_reference(reference, [system])
    _require_drawable(system, table)
    diagram = PhaseDiagram(table.within(system))
    _write(diagram, Path(out), f"{'-'.join(system)}, reference hull {table.name}")
    stable, unstable = (
        sorted(entry.composition.reduced_formula for entry in entries)
        for entries in (diagram.stable_entries, diagram.unstable_entries)
    )
    return {"reference": table.name, "stable": stable, "unstable": unstable}


def _require_drawable(system: Sequence[str], table: ReferenceTable) -> None:
    where = "-".join(system)
    if not 2 <= len(set(system)) <= 4:
        raise ConfigError("a hull is drawn of two to four elements.", where=where)
    for symbol in system:
        if not Element.is_valid_symbol(symbol):
            raise ConfigError(f"{symbol!r} is no element.", where=where)
        if symbol not in table.element_energies:
            raise ConfigError(f"{table.name} has no reference energy of {symbol}.", where=where)


def _write(diagram: PhaseDiagram, out: Path, title: str) -> None:
    kind = out.suffix.lower()
    if kind == ".html":
        figure: Any = PDPlotter(diagram, show_unstable=SHOWN_ABOVE, backend="plotly").get_plot()
        with whole_file(out) as temporary:
            figure.update_layout(title=title).write_html(temporary, include_plotlyjs=True)
    elif kind == ".png":
        import matplotlib as mpl

        mpl.use("agg")  # files only; no window is ever opened
        axes: Any = PDPlotter(diagram, show_unstable=SHOWN_ABOVE, backend="matplotlib").get_plot()
        axes.set_title(title)
        with whole_file(out) as temporary:
            axes.figure.savefig(temporary, dpi=200, bbox_inches="tight")
    else:
        raise ConfigError(f"cannot draw into {out.suffix!r}.", where=str(out), fix="Use .html or .png.")
