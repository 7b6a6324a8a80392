"""The one place that converts structures: pymatgen, ASE, tensors, Parquet columns and files.

Shapes: A atoms, S systems. Fractional coordinates lie in [0, 1); cells have rows a, b, c in Å.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from matgen.errors import DataError, did_you_mean
from matgen.runtime import whole_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd
    from ase import Atoms
    from torch_geometric.data import Batch, Data

STRUCTURE_COLUMNS = ("numbers", "frac", "cell")
"""Parquet columns of a structure: ``numbers`` (A,), ``frac`` (3A,) and ``cell`` (9,) in Å, row by row.

A molecule, a structure without periodic axes, has a cell of zeros, as ASE writes it; ``frac`` then holds Cartesian
coordinates in Å. Its bonds are in a column :data:`SMILES`.
"""

SMILES = "smiles"
"""Column, and key of ``Structure.properties``, of a molecule's canonical isomeric SMILES: the bonds it has."""

ROOM = 5.0
"""Å between a molecule and each wall of the box that is drawn around it."""


# --- tensors ---------------------------------------------------------------------------------------------------------


def to_data(structure: Structure, **targets: float) -> Data:
    """Turn an ordered structure into a torch-geometric ``Data``.

    Fields: ``numbers (A,)`` atomic numbers, ``frac (A, 3)``, ``cell (1, 3, 3)`` Å, ``pbc (1, 3)``, and each
    target as ``(1,)``.
    """
    import torch
    from torch_geometric.data import Data

    return Data(
        numbers=torch.tensor(structure.atomic_numbers, dtype=torch.long),
        frac=torch.tensor(wrap(structure.frac_coords, structure.lattice.pbc), dtype=torch.float64),
        cell=torch.tensor(structure.lattice.matrix, dtype=torch.float64)[None],
        pbc=torch.tensor([structure.lattice.pbc]),
        num_nodes=len(structure),
        **{name: torch.tensor([value], dtype=torch.float64) for name, value in targets.items()},
    )


def from_data(data: Data) -> Structure:
    """The structure in a ``Data`` (inverse of :func:`to_data`, targets left behind).

    A molecule's ``smiles``, where a generator has set them, become its property :data:`SMILES`.
    """
    lattice = _lattice(data.cell[0], data.pbc[0])
    properties = {SMILES: data.smiles} if SMILES in data else {}
    places = wrap(np.asarray(data.frac, dtype=float), lattice.pbc)
    return Structure(lattice, data.numbers.tolist(), places, properties=properties)


def to_batch(structures: Iterable[Structure]) -> Batch:
    """Join structures into one torch-geometric ``Batch`` of S systems; its ``smiles`` where all have bonds."""
    from torch_geometric.data import Batch

    given = list(structures)
    rows = [to_data(s) for s in given]
    if all(SMILES in s.properties for s in given):
        for row, structure in zip(rows, given, strict=True):
            row.smiles = structure.properties[SMILES]
    return Batch.from_data_list(rows)


def from_batch(batch: Batch) -> list[Structure]:
    """The S structures of a ``Batch``, in order."""
    return [from_data(data) for data in batch.to_data_list()]


def wrap(frac: np.ndarray, pbc: Sequence[bool] = (True, True, True)) -> np.ndarray:
    """Fractional coordinates in [0, 1) along periodic axes; ``-1e-17 % 1`` rounds to 1.0, hence the second step."""
    frac = np.asarray(frac, dtype=float)
    wrapped = frac % 1.0
    return np.where(pbc, np.where(wrapped >= 1.0, 0.0, wrapped), frac)


# --- molecules -------------------------------------------------------------------------------------------------------


def molecule(numbers: Sequence[int], positions: np.ndarray, smiles: str | None = None) -> Structure:
    """A structure without periodic axes, in a box with 5 Å of room on each side.

    Args:
        numbers: (A,) atomic numbers.
        positions: (A, 3) Cartesian coordinates in Å; shifted as a whole where the box would not hold them.
        smiles: Canonical isomeric SMILES, which becomes the structure's property :data:`SMILES`.
    """
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    edges = np.ptp(positions, axis=0) + 2 * ROOM
    if (positions < 0).any() or (positions >= edges).any():
        # pymatgen's distances are wrong between atoms outside of the box, whatever the axes.
        positions = positions - positions.min(axis=0) + ROOM
    lattice = _lattice(np.diag(edges), (False, False, False))
    elements = [Element.from_Z(int(z)) for z in numbers]
    properties = {} if smiles is None else {SMILES: smiles}
    return Structure(lattice, elements, positions, coords_are_cartesian=True, properties=properties)


def formula_of(structure: Structure) -> str:
    """Reduced formula of a crystal; all atoms of a molecule in Hill's order, because C2H2 is not C6H6."""
    composition = structure.composition
    return composition.hill_formula.replace(" ", "") if is_molecule(structure) else composition.reduced_formula


def is_molecule(structure: Structure) -> bool:
    """Whether a structure has no periodic axis."""
    return not any(structure.lattice.pbc)


# --- Parquet columns -------------------------------------------------------------------------------------------------


def pack(structures: Sequence[Structure]) -> dict[str, list[Any]]:
    """Columns of :data:`STRUCTURE_COLUMNS` that hold ordered structures exactly (64-bit).

    Where any of them is a molecule with known bonds, a column :data:`SMILES` joins them.
    """
    columns: dict[str, list[Any]] = {
        "numbers": [list(s.atomic_numbers) for s in structures],
        "frac": [_places(s).ravel().tolist() for s in structures],
        "cell": [[0.0] * 9 if is_molecule(s) else s.lattice.matrix.ravel().tolist() for s in structures],
    }
    if any(SMILES in s.properties for s in structures):
        columns[SMILES] = [s.properties.get(SMILES) for s in structures]
    return columns


def unpack(table: pd.DataFrame | Mapping[str, Sequence[Any]]) -> list[Structure]:
    """Structures from columns that :func:`pack` made."""
    columns = list(zip(*(table[name] for name in STRUCTURE_COLUMNS), strict=True))
    smiles = list(table[SMILES]) if SMILES in table else [None] * len(columns)
    return [_unpacked(row, bonds) for row, bonds in zip(columns, smiles, strict=True)]


def unpack_rows(rows: Sequence[Mapping[str, Any]]) -> list[Structure]:
    """Structures from rows, one dictionary a structure, of columns that :func:`pack` made; other keys are ignored."""
    names = (*STRUCTURE_COLUMNS, SMILES) if any(SMILES in row for row in rows) else STRUCTURE_COLUMNS
    return unpack({name: [row.get(name) for row in rows] for name in names})


def _places(structure: Structure) -> np.ndarray:
    return structure.cart_coords if is_molecule(structure) else wrap(structure.frac_coords)


def _unpacked(row: tuple[Any, Any, Any], smiles: Any) -> Structure:
    numbers, places, cell = row
    matrix, places = np.reshape(cell, (3, 3)), np.reshape(places, (-1, 3))
    if not np.any(matrix):
        return molecule(numbers, places, smiles if isinstance(smiles, str) else None)
    return Structure(matrix, [Element.from_Z(int(z)) for z in numbers], places)


# --- ASE -------------------------------------------------------------------------------------------------------------


def to_atoms(structure: Structure, info: Mapping[str, Any] | None = None) -> Atoms:
    """ASE atoms of an ordered structure, with ``info`` attached."""
    from ase import Atoms

    return Atoms(
        numbers=structure.atomic_numbers,
        scaled_positions=structure.frac_coords,
        cell=structure.lattice.matrix,
        pbc=structure.lattice.pbc,
        info=dict(info or {}),
    )


def from_atoms(atoms: Atoms) -> Structure:
    """Structure of ASE atoms; without a cell they are a molecule."""
    if atoms.cell.rank == 0 and not any(atoms.pbc):
        return molecule(atoms.numbers, atoms.positions)
    lattice = _lattice(atoms.cell, atoms.pbc)
    return Structure(lattice, list(atoms.numbers), wrap(lattice.get_fractional_coords(atoms.positions), lattice.pbc))


# --- text and files --------------------------------------------------------------------------------------------------


def parse(text: str, fmt: str) -> Structure:
    """Read one structure from text.

    Args:
        text: File content.
        fmt: ``cif``, ``poscar``, ``json`` (pymatgen dictionary, structures only) or ``extxyz``.

    Raises:
        DataError: The text holds no readable structure; the message says why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if fmt == "extxyz":
                from ase.io import read

                (atoms, *_) = read(io.StringIO(text), format="extxyz", index=":")
                structure = from_atoms(atoms)
            elif fmt == "json":
                structure = Structure.from_dict(_without_properties(json.loads(text)))
            else:
                structure = Structure.from_str(text, fmt=fmt)  # type: ignore[arg-type]
    except RecursionError as error:
        raise DataError(f"unreadable {fmt}: nested too deeply.") from error
    except Exception as error:  # parsers raise a dozen unrelated types on broken text
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"unreadable {fmt}: {reason}") from error
    if len(structure) == 0:
        raise DataError(f"unreadable {fmt}: no atoms.")
    return structure


def read_structures(path: str | Path) -> tuple[pd.DataFrame, list[Structure]]:
    """Read structures that matgen (or ASE or pymatgen) wrote: a trusted, uniform file of finished structures.

    Args:
        path: ``.extxyz``/``.xyz``, ``.parquet``, ``.cif``, a POSCAR, an ASE ``.db``, or a folder of CIFs; also ``.smi``
            and ``.csv`` or ``.parquet`` with a column ``smiles``, whose molecules are laid out flat.

    Returns:
        A table with one row a structure (``id`` and whatever else the file carries) and the structures.

    Raises:
        DataError: The file is missing, of an unknown kind, or unreadable. Raw data of mixed quality go through
            ``matgen data ingest`` instead, which quarantines rows.
    """
    import pandas as pd

    path = Path(path)
    if not path.exists():
        raise DataError("no such file or folder.", where=str(path), fix="Check the path.")
    if path.is_dir():
        files = sorted(path.glob("*.cif"))
        if not files:
            raise DataError("the folder holds no .cif files.", where=str(path))
        structures = [_parse_file(file, "cif") for file in files]
        return pd.DataFrame({"id": [file.stem for file in files]}), structures
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table = _read_parquet(path)
        if "cell" not in table:
            return table, _sketches(table, path)
        return table.drop(columns=list(STRUCTURE_COLUMNS)), unpack(table)
    if suffix in {".smi", ".csv"}:
        table = _read_smiles(path)
        return table, _sketches(table, path)
    if suffix in {".extxyz", ".xyz", ".db"}:
        return _read_ase(path)
    fmt = "cif" if suffix == ".cif" else "poscar" if path.stem.upper().startswith(("POSCAR", "CONTCAR")) else None
    if fmt is None:
        raise DataError(f"unknown kind of structure file {suffix!r}.", where=str(path), fix=did_you_mean(suffix, KINDS))
    return pd.DataFrame({"id": [path.stem]}), [_parse_file(path, fmt)]


ASE_PREFIX = "candidate_"
"""Stands before column names that ASE keeps for itself: its ``energy``, for one, is that of the whole cell."""

KINDS = (".extxyz", ".xyz", ".parquet", ".cif", ".db", ".smi", ".csv", "folder of .cif")


def write_structures(path: str | Path, table: pd.DataFrame, structures: Sequence[Structure]) -> None:
    """Write structures with their table: ``.extxyz``, ``.parquet``, ``.db`` (ASE), or a folder of CIFs.

    Args:
        path: A path without suffix is a folder, one CIF a structure, named by ``id``.
        table: One row a structure, with an ``id`` column.
        structures: As many as rows.
    """
    import pandas as pd

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in {".parquet", ".extxyz", ".db", ""}:
        raise DataError(f"cannot write {suffix!r}.", where=str(path), fix="Use .extxyz, .parquet, .db or a folder.")
    if suffix == "":
        for name, structure in zip(table["id"], structures, strict=True):
            with whole_file(path / _cif_name(name)) as temporary:
                temporary.write_text(str(structure.to(fmt="cif")), encoding="utf-8")
        return
    with whole_file(path) as temporary:
        if suffix == ".parquet":
            packed = pd.DataFrame(pack(structures), index=table.index)
            pd.concat([table, packed.drop(columns=[c for c in packed if c in table])], axis=1).to_parquet(
                temporary, index=False
            )
        else:
            _write_ase(temporary, suffix, table, structures)


def zip_cifs(path: str | Path, names: Sequence[str], structures: Sequence[Structure]) -> None:
    """Write a zip archive with one CIF a structure."""
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, structure in zip(names, structures, strict=True):
            archive.writestr(_cif_name(name), str(structure.to(fmt="cif")))


def _cif_name(name: object) -> str:
    """Name of a file that stays in its folder whatever the id says: separators are percent-encoded."""
    return re.sub(r"[/\\\0]", lambda found: f"%{ord(found[0]):02X}", f"{name}.cif")


def _without_properties(document: dict[str, Any]) -> dict[str, Any]:
    # pymatgen decodes properties by importing whatever class they name.
    sites = [{k: v for k, v in site.items() if k != "properties"} for site in document["sites"]]
    return {**{k: v for k, v in document.items() if k != "properties"}, "sites": sites}


def _lattice(cell: Any, pbc: Any) -> Lattice:
    a, b, c = (bool(p) for p in pbc)
    return Lattice(np.asarray(cell, dtype=float), pbc=(a, b, c))


def _parse_file(path: Path, fmt: str) -> Structure:
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"), fmt)
    except DataError as error:
        raise DataError(error.what, where=str(path)) from error


def column_names(path: Path) -> list[str]:
    """Names of the columns of a Parquet file.

    Raises:
        DataError: It is unreadable.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        return list(read_schema(path).names)
    except (ArrowException, OSError) as error:
        raise DataError(f"unreadable Parquet: {error}", where=str(path)) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises several unrelated types
        raise DataError(f"unreadable Parquet: {error}", where=str(path)) from error
    missing = [name for name in STRUCTURE_COLUMNS if name not in table]
    if missing and SMILES not in table:
        raise DataError(
            f"no columns {', '.join(missing)}.",
            where=str(path),
            fix="This is no structure table; turn raw tables into a data set with 'matgen data ingest'.",
        )
    return table


def _read_smiles(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix.lower() == ".csv":
            table = pd.read_csv(path, keep_default_na=False, na_values=[""])
        else:
            words = [line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            table = pd.DataFrame({SMILES: [w[0] for w in words], "id": [w[-1] for w in words]})
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"unreadable table: {error}", where=str(path)) from error
    if SMILES not in table:
        raise DataError("no column smiles.", where=str(path), fix=did_you_mean(SMILES, map(str, table.columns)))
    return table if "id" in table else table.assign(id=[f"{path.stem}-{i + 1}" for i in range(len(table))])


def _sketches(table: pd.DataFrame, path: Path) -> list[Structure]:
    """Flat layouts of the molecules in a column of SMILES."""
    from matgen.data.molecules import sketch

    found = []
    for row, smiles in enumerate(table[SMILES], start=1):
        try:
            found.append(sketch(smiles))
        except DataError as error:
            raise DataError(error.what, where=f"{path}, row {row}", fix="Ingest it with 'matgen data'.") from error
    return found


def _read_ase(path: Path) -> tuple[pd.DataFrame, list[Structure]]:
    import pandas as pd
    from ase.db import connect
    from ase.io import iread

    rows, structures = [], []
    try:
        if path.suffix == ".db":
            for row in connect(path).select():
                rows.append({"id": f"{row.id}", **row.key_value_pairs, **row.data})
                structures.append(from_atoms(row.toatoms()))
        else:
            for i, atoms in enumerate(iread(path, index=":", format="extxyz")):
                rows.append({"id": f"{i}", **{k: v for k, v in atoms.info.items() if np.isscalar(v)}})
                structures.append(from_atoms(atoms))
    except Exception as error:  # ASE's readers raise a dozen unrelated types
        raise DataError(f"unreadable {path.suffix}: {error}", where=str(path)) from error
    for row, structure in zip(rows, structures, strict=True):
        if is_molecule(structure) and isinstance(row.get(SMILES), str):
            structure.properties[SMILES] = row[SMILES]
    table = pd.DataFrame([{k.removeprefix(ASE_PREFIX): v for k, v in row.items()} for row in rows])
    return (table.assign(id=table["id"].astype(str)) if rows else pd.DataFrame({"id": []})), structures


def _write_ase(path: Path, suffix: str, table: pd.DataFrame, structures: Sequence[Structure]) -> None:
    from ase.calculators.calculator import all_properties
    from ase.db import connect
    from ase.db.core import reserved_keys
    from ase.io import write

    rows = [{str(k): v for k, v in row.items() if _is_plain(v)} for row in table.to_dict("records")]
    if suffix == ".extxyz":
        frames = [_renamed({k: _kept(v) for k, v in row.items()}, all_properties) for row in rows]
        write(path, [to_atoms(s, info) for s, info in zip(structures, frames, strict=True)], format="extxyz")
        return
    path.unlink()  # an empty file is no SQLite database
    with connect(path, type="db") as database:
        for structure, row in zip(structures, rows, strict=True):
            named = _renamed(row, reserved_keys)
            # ASE refuses to search for text that looks like a number; the exact row lies in ``data``.
            pairs = {k: v for k, v in named.items() if k.isidentifier() and k.isascii() and not _reads_as_number(v)}
            database.write(to_atoms(structure), key_value_pairs=pairs, data=named)


def _renamed(row: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    return {f"{ASE_PREFIX}{name}" if name in taken else name: value for name, value in row.items()}


def _kept(value: Any) -> Any:
    """Text that extended XYZ would read back as a number or truth value, in the spelling that stays text."""
    return f"_JSON {json.dumps(value)}" if _reads_as_number(value) else value


def _reads_as_number(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        list(map(float, value.split()))
    except ValueError:
        return value in {"True", "False", "T", "F"}
    return True


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value)
    return isinstance(value, bool | int | float | np.number | np.bool_) and bool(np.isfinite(value))
