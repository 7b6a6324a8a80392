"""Reference energies from the Materials Project: those of density functional theory, for energies of the same kind.

Energies of a potential never meet them: the table's scale names functional and corrections, and a hull of others is
refused.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pandas as pd

from matgen.data.readers.materials_project import MaterialsProject
from matgen.errors import ConfigError, DataError, did_you_mean
from matgen.stability.energy import EnergyScale
from matgen.stability.references import COLUMNS, ReferenceTable, lowest

if TYPE_CHECKING:
    from collections.abc import Iterable

THERMO = "materials/thermo/"
FIELDS = ("material_id", "formula_pretty", "nsites", "energy_per_atom", "uncorrected_energy_per_atom")
FUNCTIONALS = {"GGA_GGA+U": "MP2020", "R2SCAN": "none"}
"""Kinds of energies that the Materials Project has, and the corrections in them."""

ASKED = 40
"""Chemical systems in one question."""

LARGEST = 8
"""Elements; the subsystems of a larger chemical system are too many to ask for."""


def project_reference(
    systems: Iterable[Iterable[str]], functional: str = "GGA_GGA+U", *, corrected: bool = True
) -> ReferenceTable:
    """The Materials Project's energies of everything in some chemical systems, subsystems and elements included.

    Needs an API key in ``MP_API_KEY``. The scale is ``dft-<functional>/<corrections>``; candidates to be judged by it
    carry just that in ``energy_scale``.

    Args:
        systems: Chemical systems, each as symbols.
        functional: ``GGA_GGA+U`` (PBE, with U where the project uses it) or ``R2SCAN``.
        corrected: Whether the energies hold the MP2020 corrections, without which PBE and PBE+U do not mix.

    Raises:
        ConfigError: No such functional, no API key, or a system that is too large.
        DataError: The server fails, or knows nothing of these systems.
    """
    if functional not in FUNCTIONALS:
        raise ConfigError(f"there is no functional {functional!r}.", fix=did_you_mean(functional, FUNCTIONALS))
    found = _asked(tuple(sorted(_subsystems(systems))), functional, corrected)
    scale = EnergyScale(f"dft-{functional}", FUNCTIONALS[functional] if corrected else "none")
    source = "Materials Project (CC BY 4.0), through its API"
    return ReferenceTable(found.copy(), scale, f"mp-{functional}", {"source": source, "n_entries": len(found)})


def named_reference(name: str, systems: Iterable[Iterable[str]] | None) -> ReferenceTable:
    """The table that a text such as ``mp?functional=R2SCAN`` or ``mp?corrections=none`` asks for.

    Raises:
        ConfigError: It says something else, or nobody said which systems.
    """
    wanted = dict(parse_qsl(name.partition("?")[2]))
    unknown = sorted(set(wanted) - {"functional", "corrections"})
    if unknown or wanted.get("corrections", "none") != "none":
        what = f"{unknown[0]!r}" if unknown else f"corrections={wanted['corrections']}"
        raise ConfigError(
            f"{what} is not understood.", where=name, fix="Write mp, mp?functional=R2SCAN or mp?corrections=none."
        )
    if systems is None:
        raise ConfigError("of which chemical systems?", where=name, fix="Give candidates or a chemical system.")
    functional = wanted.get("functional", "GGA_GGA U").replace(" ", "+")  # a plus in a query is a space
    return project_reference(systems, functional, corrected="corrections" not in wanted)


def _subsystems(systems: Iterable[Iterable[str]]) -> set[str]:
    found = set()
    for system in {tuple(sorted(set(system))) for system in systems}:
        if len(system) > LARGEST:
            raise ConfigError(f"{len(system)} elements are more than {LARGEST}.", where="-".join(system))
        found |= {"-".join(part) for n in range(1, len(system) + 1) for part in combinations(system, n)}
    return found


@lru_cache(maxsize=16)
def _asked(systems: tuple[str, ...], functional: str, corrected: bool) -> pd.DataFrame:
    energy, reader = "energy_per_atom" if corrected else "uncorrected_energy_per_atom", MaterialsProject()
    rows = []
    for first in range(0, len(systems), ASKED):
        query = {"chemsys": ",".join(systems[first : first + ASKED]), "thermo_types": functional}
        rows += [_row(document, energy) for document in reader.documents(THERMO, query, FIELDS)]
    if not rows:
        raise DataError("the Materials Project has no energies in these systems.", where=", ".join(systems[:5]))
    return lowest(pd.DataFrame(rows, columns=list(COLUMNS)))


def _row(document: dict[str, Any], energy: str) -> tuple[str, float, int, bool, str]:
    from pymatgen.core import Composition

    try:
        formula = Composition(document["formula_pretty"]).reduced_formula
        return formula, float(document[energy]), int(document.get("nsites") or 0), True, "known"
    except (KeyError, TypeError, ValueError) as error:
        where = str(document.get("material_id", THERMO))
        raise DataError(f"a document without a formula or {energy} ({error}).", where=where) from error
