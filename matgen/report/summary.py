"""The run in plain words: headline, lead paragraph, key figures, protocol, and what the records lack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matgen.report.fields import FIELDS, flag, is_missing, number

if TYPE_CHECKING:
    import pandas as pd

    from matgen.report.records import Records

NEAR_HULL = 0.1
"""eV/atom above the reference hull up to which the report counts a candidate as near it."""
GOALS = ("valid", "unique", "novel")


@dataclass(frozen=True)
class Figure:
    """A key figure: its value as text and what it counts."""

    value: str
    label: str


def total(records: Records) -> int:
    """Structures that entered the run."""
    return len(records.table) + len(records.rejected)


def successes(table: pd.DataFrame) -> int | None:
    """Candidates that are valid, unique, new and near the hull; None where a column for that is missing."""
    if any(name not in table for name in (*GOALS, "e_above_hull")):
        return None
    return sum(
        all(flag(row[name]) for name in GOALS) and _near_hull(row["e_above_hull"]) for row in table.to_dict("records")
    )


def headline(records: Records) -> str:
    """What came out, in one line."""
    found = successes(records.table)
    if found is None:
        return f"{_count(len(records.table), 'candidate')} from {_count(total(records), records.noun)}"
    new = _count(found, "new crystal candidate") if found else "No new crystal candidate"
    return f"{new} within {NEAR_HULL:g} eV/atom of the reference hull"


def lead(records: Records) -> str:
    """What was done and what came out, in a few sentences; only what the records say."""
    was = "was" if total(records) == 1 else "were"
    said = [
        f"{_count(total(records), records.noun)} {was} proposed{_by(records)}.",
        f"{_number(len(records.rejected))} left on the way, each with a recorded reason; "
        f"{_number(len(records.table))} remain{' and are ranked below' if 'rank' in records.table else ''}.",
        _stability(records),
        _novelty(records),
    ]
    return " ".join(filter(None, said))


def caution(records: Records) -> str:
    """What kind of numbers these are."""
    known = protocol(records)
    potential = known.get("Potential")
    by = f"the machine-learned potential {potential}" if potential else "machine-learned models"
    by = known.get("Energies by", by)
    return (
        f"Energies come from {by} and properties from statistical models: they are predictions to be checked, "
        "neither DFT results nor measurements."
    )


def figures(records: Records) -> list[Figure]:
    """Key figures, as many as the records allow."""
    table = records.table
    proposed = Figure(_number(total(records)), f"{records.noun}s proposed")
    found = [proposed, Figure(_number(len(table)), "candidates ranked")]
    if (n := successes(table)) is not None:
        found.append(Figure(_number(n), f"valid, unique, new, ≤ {NEAR_HULL:g} eV/atom above hull"))
    energies = [e for e in map(number, table.get("e_above_hull", ())) if e is not None]
    if energies:
        found.append(Figure(_number(sum(e <= 0 for e in energies)), "on or below the reference hull"))
    if seconds := sum(number(s) or 0.0 for s in records.run.get("timings", {}).values()):
        found.append(Figure(duration(seconds), "computing time"))
    return found


def protocol(records: Records) -> dict[str, str]:
    """What the numbers rest on, as the run recorded it."""
    given = records.run.get("protocol", {})
    return {str(key).replace("_", " ").capitalize(): str(value) for key, value in given.items()}


def hull_name(records: Records) -> str:
    """The hull that energies refer to."""
    name = protocol(records).get("Hull reference", "")
    return f"the reference hull{f' ({name})' if name else ''}"


def missing(table: pd.DataFrame) -> list[str]:
    """Labels of the usual columns that the records do not have."""
    return [field.label for field in FIELDS if field.name not in table]


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _stability(records: Records) -> str:
    if "e_above_hull" not in records.table:
        return ""
    near = sum(_near_hull(value) for value in records.table["e_above_hull"])
    lie = f"{_share(near, len(records.table))} {'lies' if near == 1 else 'lie'}"
    return f"{lie} at most {NEAR_HULL:g} eV/atom above {hull_name(records)}{_thin(records.table)}."


def _novelty(records: Records) -> str:
    if "novel" not in records.table:
        return ""
    new = sum(bool(flag(value)) for value in records.table["novel"])
    reference = protocol(records).get("Novelty reference", "")
    are = f"{_share(new, len(records.table))} {'is' if new < 2 else 'are'} new"
    return f"{are}: no known {records.noun}{f' of {reference}' if reference else ''} matches." if new else f"{are}."


def _thin(table: pd.DataFrame) -> str:
    thin = sum(bool(flag(value)) for value in table.get("thin_system", ()))
    if not thin:
        return ""
    return f"; for {_number(thin)} the hull is thin, with too few known compounds in the chemical system to trust it"


def _share(part: int, whole: int) -> str:
    return "All" if part == whole > 1 else "None" if part == 0 else _number(part)


def _near_hull(value: object) -> bool:
    energy = number(value)
    return energy is not None and energy <= NEAR_HULL


def _by(records: Records) -> str:
    rows = [*records.table.get("generator", ()), *records.rejected.get("generator", ())]
    names = sorted({str(name) for name in rows if not is_missing(name)})
    return f" by the generator{'s' if len(names) > 1 else ''} {' and '.join(names)}" if names else ""


def _count(n: int, noun: str) -> str:
    return f"{_number(n)} {noun}{'' if n == 1 else 's'}"


def _number(n: int) -> str:
    return f"{n:,}"
