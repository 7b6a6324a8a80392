"""Molecules of line notation as structures: drawings in the plane, conformers, or geometries by a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch_geometric.data import Batch

from matgen.data.molecules import embed, sketch
from matgen.data.structures import to_data
from matgen.errors import ConfigError, DataError
from matgen.generators.base import load_generator
from matgen.generators.spatial import SpatialGenerator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.runtime import Streams


def laid_out(texts: Sequence[str], rng: Streams, conformers: bool | str = False) -> Batch:
    """Molecules by SMILES as structures, each with its ``smiles`` and, where it stays a drawing, a ``reason``.

    Args:
        texts: SMILES.
        rng: Streams by index.
        conformers: False for drawings in the plane, True for conformers by distance geometry and a force field, or the
            name or folder of a flow or diffusion model that has learned molecules, by its
            :meth:`.SpatialGenerator.geometries`.

    Raises:
        ConfigError: The model has learned no molecules.
    """
    found: list[Structure | str] = [""] * len(texts)
    if isinstance(conformers, str):
        found = _flowed(texts, rng, conformers)
    elif conformers:
        found = [_embedded(text, int(rng.at(i).integers(2**31))) for i, text in enumerate(texts)]
    systems = []
    for text, one in zip(texts, found, strict=True):
        structure, reason = (sketch(text), one) if isinstance(one, str) else (one, "")
        data = to_data(structure)
        data.smiles, data.reason = text, reason
        systems.append(data)
    return Batch.from_data_list(systems)


def _embedded(text: str, seed: int) -> Structure | str:
    try:
        return embed(text, seed)
    except DataError as error:
        return error.what


def _flowed(texts: Sequence[str], rng: Streams, model: str) -> list[Structure | str]:
    flow = load_generator(model)
    if not isinstance(flow, SpatialGenerator) or not flow.molecules:
        raise ConfigError(f"{model!r} has learned no molecules.", where="conformers", fix="Use 'flow-qm9', or true.")
    return flow.geometries(texts, rng=rng)
