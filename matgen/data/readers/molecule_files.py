"""Files of molecules: lists of SMILES, SDF, and the QM9 of the package qm9pack."""

from __future__ import annotations

import csv
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from matgen.data.columns import roles
from matgen.data.readers.base import READERS, Reader, decode, plain_stem, read_bytes
from matgen.data.records import Record, split_of_file
from matgen.errors import DataError, MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SMILES_LINE = re.compile(r"[A-Za-z0-9@+\-\[\]()\\/=#$%.*:~]+(?:[ \t].*)?")

QM9_PARTS = ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv")

QM9_VALUES = {
    "Dipole_debye": "dipole_moment",
    "HOMO_au": "homo_Ha",
    "LUMO_au": "lumo_Ha",
    "HOMO_LUMO_gap_au": "gap_Ha",
    "ZPVE_au": "zero_point_energy_Ha",
    "InternalEnergy_0K_au": "u0_Ha",
    "Heatcapacity_Cv_cal_mol_K": "heat_capacity",
}
"""Columns of qm9pack that become properties."""


@READERS.register("smi")
class SmilesFile(Reader):
    """One SMILES a line, then perhaps a blank and a name; a first line that says ``smiles`` is a header."""

    suffixes: ClassVar[tuple[str, ...]] = (".smi", ".smiles", ".can", ".ism")

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """Lines of the characters of SMILES, the first of which RDKit reads."""
        from rdkit import Chem, rdBase

        lines = head.decode("utf-8", errors="replace").splitlines()[:-1][:5]
        if not lines or not all(_SMILES_LINE.fullmatch(line) for line in lines):
            return False
        with rdBase.BlockLogs():
            return all(Chem.MolFromSmiles(line.split()[0], sanitize=False) is not None for line in lines[1:] or lines)

    def read(self, source: str) -> Iterator[Record]:
        """One record a line that is not blank."""
        path = Path(source)
        text, notes = decode(read_bytes(path))
        lines = [line for line in text.splitlines() if line.strip()]
        if lines and lines[0].split()[0].lower() in {"smiles", "canonical_smiles"}:
            lines = lines[1:]
        if not lines:
            raise DataError("no SMILES in it.", where=source)
        for row, line in enumerate(lines, start=1):
            smiles, _, name = line.strip().partition("\t") if "\t" in line else line.strip().partition(" ")
            label = name.split("\t")[0].strip() or None
            yield Record(row, path.name, "smiles", smiles, label, split=split_of_file(path.name), notes=notes)


@READERS.register("sdf")
class SdfFile(Reader):
    """SDF: connection tables with data fields; those with coordinates in space keep them as the geometry."""

    suffixes: ClassVar[tuple[str, ...]] = (".sdf", ".sd", ".mol")

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """A connection table near the beginning."""
        return b"V2000" in head[:1000] or b"V3000" in head[:1000]

    def read(self, source: str) -> Iterator[Record]:
        """One record a molecule."""
        path = Path(source)
        text, notes = decode(read_bytes(path))
        parts = [part for part in re.split(r"^\$\$\$\$[ \t]*\n?", text, flags=re.MULTILINE) if part.strip()]
        if not parts:
            raise DataError("no molecule in it.", where=source)
        for row, part in enumerate(parts, start=1):
            fields = dict(re.findall(r"^>[^<\n]*<([^>\n]+)>[^\n]*\n((?:[^\n]+\n?)*)", part, flags=re.MULTILINE))
            fields = {name: value.strip() for name, value in fields.items() if value.strip()}
            by_role = {role: fields[name] for name, role in roles(list(fields)).items() if role in {"id", "formula"}}
            title = part.split("\n", 1)[0].strip()
            values = {n: fields[n] for n, role in roles(list(fields)).items() if role in {"value", "time"}}
            yield Record(
                row,
                path.name,
                "molblock",
                part,
                by_role.get("id") or title or None,
                by_role.get("formula"),
                split_of_file(path.name),
                values,
                notes=notes,
            )


@READERS.register("qm9pack")
class Qm9Pack(Reader):
    """QM9 with B3LYP geometries and properties, from the installed package: ``qm9pack:`` or ``qm9pack:1000`` rows.

    Ramakrishnan et al., Sci. Data 1, 140022 (2014).
    """

    scheme: ClassVar[str | None] = "qm9pack"

    def read(self, source: str) -> Iterator[Record]:
        """One record a molecule."""
        asked = source.partition(":")[2]
        if asked and not asked.isdigit():
            raise DataError(f"{asked!r} is no number of rows.", where=source, fix="Write qm9pack: or qm9pack:1000.")
        # Its own module needs pkg_resources, which new Pythons lack; its tables are plain CSV.
        found = find_spec("qm9pack")
        if found is None or found.origin is None:
            raise MissingPackageError("the package 'qm9pack' is not installed.", fix="pip install 'matgen[qm9]'")
        rows = (row for part in QM9_PARTS for row in _csv_rows(Path(found.origin).parent / "data" / part))
        for number, row in enumerate(rows, start=1):
            if asked and number > int(asked):
                return
            content = {
                "smiles": row["SMILES"],
                "elements": re.findall("[A-Z][a-z]?", row["Elements"]),
                "positions": _triples(row["XYZ_Ang"]),
            }
            values = {name: row[column] for column, name in QM9_VALUES.items()}
            yield Record(number, "qm9pack", "conformer", content, plain_stem(Path(row["XYZ_file"])), values=values)


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except OSError as error:
        raise DataError(f"unreadable ({error}).", where=str(path), fix="Install qm9pack again.") from error


def _triples(text: str) -> list[list[float]]:
    """Coordinates of a nested list whose numbers may be spelled ``0.``, which is no JSON."""
    numbers = [float(word) for word in re.findall(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?", text)]
    return [numbers[i : i + 3] for i in range(0, len(numbers), 3)]
