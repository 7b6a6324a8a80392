"""What can be said of a placement before any structure is computed: chemistry, size, and how many others agree.

Shapes: K placements of one composition, S species, F features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matgen.features import scales

if TYPE_CHECKING:
    from matgen.generators.templates import Placements, TemplateLibrary

SOFTNESS = (0.3, 1.0, 3.0)
"""Costs per atom over which votes fall to 1/e."""

NEAREST = (3, 8, 20)
"""So many of the cheapest placements are asked whether they agree."""

IN_CONTACT = 0.25
"""Atoms closer than exp(0.25) times the sum of their covalent radii in the template count as neighbours."""

TYPICAL_HULL_DISTANCE, FARTHEST_HULL_DISTANCE = 0.03, 1.0
"""eV/atom: of a template about which nothing is known, and the largest that is told apart."""

SAME = 0.9
"""Placements at least so alike are one structure type."""


def placement_features(library: TemplateLibrary, placements: Placements, likeness: np.ndarray) -> dict[str, np.ndarray]:
    """Features by name, each (K,).

    Args:
        library: Where the templates lie.
        placements: K ways to place one composition.
        likeness: (K, K) how probably two of them are the same structure.
    """
    old = np.array([library.templates[i].elements for i in placements.template])
    found = {
        **_votes(placements, likeness),
        **_known(library, placements, old, likeness),
        **_chemistry(placements, old),
        **_geometry(library, placements, old),
        **_query(library, placements),
    }
    return {name: np.nan_to_num(np.broadcast_to(v, len(placements)), posinf=5, neginf=-5) for name, v in found.items()}


def _votes(placements: Placements, likeness: np.ndarray) -> dict[str, np.ndarray]:
    extra = placements.cost - placements.cost.min()
    found = {"cost": placements.cost, "extra_cost": extra}
    for softness in SOFTNESS:
        weights = np.exp(-extra / softness)
        found[f"vote_{softness}"] = likeness @ weights / weights.sum()
    return found | {f"nearest_{k}": likeness[:, :k].mean(axis=1) for k in NEAREST}


def _known(
    library: TemplateLibrary, placements: Placements, old: np.ndarray, likeness: np.ndarray
) -> dict[str, np.ndarray]:
    """How near the hull the type lies, and whether the library has this structure of this composition already.

    Another entry of a composition that the library knows is another structure, so a familiar placement is wrong
    where the known one is not wanted again.
    """
    hull = np.array([library.templates[i].e_above_hull for i in placements.template], dtype=float)
    hull = np.nan_to_num(hull, nan=TYPICAL_HULL_DISTANCE).clip(0.0, FARTHEST_HULL_DISTANCE)
    unchanged = (placements.elements == old).all(axis=1)
    return {
        "hull": hull,
        "lowest_hull": np.where(likeness > SAME, hull, FARTHEST_HULL_DISTANCE).min(axis=1),
        "familiar": likeness[:, unchanged].max(axis=1, initial=0.0),
        "unchanged": unchanged.astype(float),
        "some_known": np.array(float(unchanged.any())),
    }


def _chemistry(placements: Placements, old: np.ndarray) -> dict[str, np.ndarray]:
    new, share = placements.elements, placements.counts / placements.counts.sum()
    change = {
        "mendeleev": scales.mendeleev_scale(),
        "electronegativity": scales.electronegativity_scale(),
        "atomic_radius": scales.log_atomic_radius(),
        "ionic_radius": scales.log_ionic_radius(),
        "covalent_radius": scales.log_covalent_radius(),
        "group": scales.group_scale(),
    }
    found: dict[str, np.ndarray] = {}
    for name, scale in change.items():
        step = np.abs(scale[new] - scale[old])
        found |= {f"{name}_mean": step @ share, f"{name}_max": step.max(axis=1), f"{name}_sum": step.sum(axis=1)}
    found["same_element"] = (new == old).mean(axis=1)
    found["same_group"] = (scales.group_scale()[new] == scales.group_scale()[old]).mean(axis=1)
    found["metal_changed"] = np.abs(scales.metallic()[new] - scales.metallic()[old]).sum(axis=1)
    return found


def _geometry(library: TemplateLibrary, placements: Placements, old: np.ndarray) -> dict[str, np.ndarray]:
    """How the distances suit the new elements: ln of each distance over the sum of radii, now and in the template."""
    new, share = placements.elements, placements.counts / placements.counts.sum()
    volume = np.array([library.templates[i].volume / library.templates[i].counts.sum() for i in placements.template])
    ratio = (library.volumes[new] @ share) / (library.volumes[old] @ share)
    nearest = np.stack([library.pairs(i).nearest for i in placements.template])
    now, then = nearest * np.cbrt(volume * ratio)[:, None, None], nearest * np.cbrt(volume)[:, None, None]
    found = {"log_volume_ratio": np.log(ratio)}
    for name, radius in (("radii", np.exp(scales.log_covalent_radius())), ("sizes", 0.62 * np.cbrt(library.volumes))):
        fit, fitted = (np.log(d / (radius[z][:, :, None] + radius[z][:, None])) for d, z in ((now, new), (then, old)))
        closest, was_closest = fit.min(axis=2), fitted.min(axis=2)
        moved = np.where(fitted < IN_CONTACT, fit - fitted, 0.0)
        found |= {
            f"{name}_closest": closest.min(axis=1),
            f"{name}_closer": closest.min(axis=1) - was_closest.min(axis=1),
            f"{name}_loosest": closest.max(axis=1),
            f"{name}_shift": np.abs(closest - was_closest).max(axis=1),
            f"{name}_mean_shift": np.abs(closest - was_closest) @ share,
            f"{name}_squeezed": moved.min(axis=(1, 2)),
            f"{name}_stretched": moved.max(axis=(1, 2)),
        }
    anion = scales.electronegativity_scale()[new].argmax(axis=1)
    found["anion_to_anion"] = nearest[np.arange(len(new)), anion, anion]
    return found


def _query(library: TemplateLibrary, placements: Placements) -> dict[str, np.ndarray]:
    """What is asked, which decides how much the rest weighs."""
    elements, share = placements.elements[0], placements.counts / placements.counts.sum()
    chi = scales.electronegativity_scale()[elements]
    return {
        "atoms": np.array([float(library.templates[i].counts.sum()) for i in placements.template]),
        "species": np.array(float(len(elements))),
        "lowest_cost": placements.cost.min(),
        "metal_share": scales.metallic()[elements] @ share,
        "most_electronegative": chi.max(),
        "electronegativity_range": np.ptp(chi),
        "supply": np.log(len(placements)),
    }
