"""Structural formulas as inline SVG."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from matgen.data.molecules import to_rdkit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

WIDTH, HEIGHT = 320, 220

RAISES, LOWERS = (0.35, 0.65, 0.95), (0.98, 0.62, 0.45)
"""Colours of atoms that raise and that lower a predicted value."""


def drawn_formula(structure: Structure | str, label: str, weights: Sequence[float] | None = None) -> Markup:
    """The structural formula of a molecule.

    Args:
        structure: A molecule, or its SMILES.
        label: What a screen reader says.
        weights: One number a heavy atom, in the order of the canonical SMILES; blue discs mark atoms with positive,
            orange ones those with negative numbers, the stronger the fuller.
    """
    found = Chem.Mol(to_rdkit(structure))
    rdDepictor.Compute2DCoords(found)
    drawer = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    colours, sizes = _discs(weights)
    rdMolDraw2D.PrepareAndDrawMolecule(
        drawer,
        found,
        highlightAtoms=list(colours),
        highlightAtomColors=colours,
        highlightAtomRadii=sizes,
        highlightBonds=[],
    )
    drawer.FinishDrawing()
    # RDKit's own text; without the declaration of XML, which has no place inside a page, and without style attributes
    # that a page's policy refuses.
    svg = re.sub(r"<\?xml[^>]*\?>\s*|<!--.*?-->\s*", "", drawer.GetDrawingText(), flags=re.DOTALL)
    svg = re.sub(r"style='([^']*)'", lambda found: _attributes(found[1]), svg)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" class="structural-formula" ', 1))  # noqa: S704


def _discs(
    weights: Sequence[float] | None,
) -> tuple[dict[int, tuple[float, float, float]], dict[int, float]]:
    """Colour and radius of the disc behind each atom."""
    largest = max((abs(w) for w in weights or ()), default=0.0)
    if not weights or not largest:
        return {}, {}
    strength = [abs(w) / largest for w in weights]
    marked = [i for i, s in enumerate(strength) if s > 0.05]
    colours: dict[int, tuple[float, float, float]] = {}
    for i in marked:
        full = RAISES if weights[i] > 0 else LOWERS
        red, green, blue = (1 - strength[i] * (1 - c) for c in full)
        colours[i] = (red, green, blue)
    return colours, {i: 0.25 + 0.25 * strength[i] for i in marked}


def _attributes(style: str) -> str:
    """The declarations of a style attribute as attributes of their own."""
    pairs = (part.split(":", 1) for part in style.split(";") if ":" in part)
    return " ".join(f"{name.strip()}='{value.strip()}'" for name, value in pairs)
