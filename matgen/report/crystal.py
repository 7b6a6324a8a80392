"""Cells made ready for drawing: a standing view, atoms repeated on the cell's faces, bonds, element colours."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matgen.data.molecules import with_geometry
from matgen.data.structures import ROOM, wrap

SYMPREC = 0.1
"""Å; the tolerance with which the conventional cell is found."""
ON_FACE = 0.02
"""Fractional distance below which an atom counts as lying on a face and is drawn on the opposite one too."""
MOST_ATOMS = 240
"""Conventional cells with more atoms are drawn as recorded instead."""
TURN, TILT = -28.0, 12.0
"""Degrees by which the view leaves the line along a: around the vertical, then around the horizontal axis."""

Bond = tuple[int, int, tuple[int, int, int]]


@dataclass(frozen=True)
class DrawnCell:
    """One cell in the frame of the viewer: x right, y up, z towards the reader.

    Args:
        symbols: A element symbols.
        frac: ``(A, 3)`` fractional coordinates in [0, 1).
        cell: ``(3, 3)`` rows a, b, c in Å, turned into the viewer's frame.
        bonds: Pairs of atoms with the cell shift of the second one.
        periodic: Whether there is a cell; a molecule has none to draw or repeat.
    """

    symbols: list[str]
    frac: np.ndarray
    cell: np.ndarray
    bonds: list[Bond]
    periodic: bool = True

    def atoms(self) -> list[tuple[int, np.ndarray]]:
        """Index and position (3,) in Å of each atom of one cell, those on faces repeated."""
        shown = []
        for index, shift in self._images():
            shown.append((index, (self.frac[index] + shift) @ self.cell))
        return shown

    def sticks(self) -> list[tuple[int, np.ndarray, int, np.ndarray]]:
        """Bonds whose two ends are drawn: index and position of each end."""
        drawn = {(index, shift): (self.frac[index] + shift) @ self.cell for index, shift in self._images()}
        found = []
        for i, j, image in self.bonds:
            for (index, shift), start in drawn.items():
                end = (j, (shift[0] + image[0], shift[1] + image[1], shift[2] + image[2]))
                if index == i and end in drawn:
                    found.append((i, start, j, drawn[end]))
        return found

    def edges(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The twelve edges of the cell, as pairs of points in Å; none round a molecule."""
        if not self.periodic:
            return []
        corners = [np.array(c, dtype=float) for c in itertools.product((0, 1), repeat=3)]
        pairs = itertools.combinations(corners, 2)
        return [(p @ self.cell, q @ self.cell) for p, q in pairs if np.abs(p - q).sum() == 1]

    def payload(self) -> dict[str, Any]:
        """What the page's script needs, as plain JSON values."""
        return {
            "symbols": self.symbols,
            "frac": np.round(self.frac, 4).tolist(),
            "cell": np.round(self.cell, 4).tolist(),
            "bonds": [[i, j, *image] for i, j, image in self.bonds],
            "periodic": self.periodic,
        }

    def _images(self) -> list[tuple[int, tuple[int, int, int]]]:
        images = []
        for index, frac in enumerate(self.frac):
            options = [(0, 1) if f < ON_FACE else (-1, 0) if f > 1 - ON_FACE else (0,) for f in frac]
            images += [(index, (a, b, c)) for a, b, c in itertools.product(*options)]
        return images


def draw_molecule(structure: Structure) -> DrawnCell:
    """Turn a molecule for drawing: its longest direction to the right, its shortest towards the reader."""
    places = structure.cart_coords - structure.cart_coords.mean(axis=0)
    axes = np.linalg.svd(places, full_matrices=True)[2].T
    axes *= np.sign(np.linalg.det(axes))
    turned = places @ axes
    corner, cell = turned.min(axis=0) - ROOM, np.diag(np.ptp(turned, axis=0) + 2 * ROOM)
    bonds: list[Bond] = [
        (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), (0, 0, 0)) for bond in with_geometry(structure).GetBonds()
    ]
    frac = (turned - corner) @ np.linalg.inv(cell)
    return DrawnCell([species.symbol for species in structure.species], frac, cell, bonds, periodic=False)


def draw_cell(structure: Structure) -> DrawnCell:
    """Turn a structure into a cell for drawing, as recorded."""
    frac = wrap(structure.frac_coords)
    wrapped = Structure(structure.lattice, structure.species, frac)
    cell = structure.lattice.matrix @ view_rotation(structure.lattice.matrix)
    return DrawnCell([species.symbol for species in structure.species], frac, cell, _bonds(wrapped))


def conventional(structure: Structure) -> Structure | None:
    """The conventional standard cell, or None where symmetry finds none or it is too large to draw."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cell = SpacegroupAnalyzer(structure, symprec=SYMPREC).get_conventional_standard_structure()
    except (TypeError, ValueError):  # what pymatgen raises when spglib finds no symmetry
        return None
    return cell if len(cell) <= MOST_ATOMS else None


def view_rotation(cell: np.ndarray) -> np.ndarray:
    """Matrix (3, 3) that, multiplied from the right, stands c upright, lays b to the right and turns a forward."""
    up = cell[2] / np.linalg.norm(cell[2])
    right = cell[1] - (cell[1] @ up) * up
    right /= np.linalg.norm(right)
    axes = np.column_stack([right, up, np.cross(right, up)])
    return axes @ _about(1, TURN) @ _about(0, TILT)


def element_style(symbol: str) -> dict[str, Any]:
    """Colour (hex) and drawing radius (Å) of an element: Jmol's colours, radii that grow with the covalent one."""
    number = atomic_numbers.get(symbol, 0)
    red, green, blue = (round(255 * float(c)) for c in jmol_colors[min(number, len(jmol_colors) - 1)])
    return {"color": f"#{red:02x}{green:02x}{blue:02x}", "radius": round(0.22 + 0.28 * covalent_radii[number], 3)}


def _about(axis: int, degrees: float) -> np.ndarray:
    """Rotation (3, 3) around a coordinate axis, for row vectors multiplied from the left."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(3)
    rotation[i, i], rotation[i, j], rotation[j, i], rotation[j, j] = cos, sin, -sin, cos
    return rotation


def _bonds(structure: Structure) -> list[Bond]:
    """Each bond once, by CrystalNN (Zimmermann and Jain, RSC Adv. 10, 6063, 2020)."""
    finder = CrystalNN(weighted_cn=False)
    found: set[Bond] = set()
    for i in range(len(structure)):
        for neighbour in _neighbours(finder, structure, i):
            j, image = int(neighbour["site_index"]), tuple(int(s) for s in neighbour["image"])
            back = (j, i, tuple(-s for s in image))
            found.add(min((i, j, image), back))  # type: ignore[arg-type]
    return sorted(found)


def _neighbours(finder: CrystalNN, structure: Structure, index: int) -> list[dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return finder.get_nn_info(structure, index)
    except (ValueError, RuntimeError):  # no Voronoi cell, for example a lone atom in a void: drawn without bonds
        return []
