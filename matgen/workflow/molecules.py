"""What the stages of a molecule workflow do: a verb each, from the folder of the stage before to one of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from matgen.constraints.screening import screen
from matgen.data.candidates import ACCEPTED, REJECTED, Candidates
from matgen.data.dataset import STRUCTURES
from matgen.data.molecules import canonical, parse_smiles, smiles_of
from matgen.data.structures import SMILES, formula_of, write_structures
from matgen.errors import DataError
from matgen.evaluate.molecules import read_smiles_column, tanimoto
from matgen.features.molecules import fingerprints
from matgen.generators.sampling import sample
from matgen.optimize.ranking import rank
from matgen.optimize.rungs.descriptors import FROM_BONDS
from matgen.runtime import write_text
from matgen.stability.molecules import relax_molecules, with_conformers, with_orbitals
from matgen.surrogates.prediction import predict
from matgen.workflow.discovery import DATASET, Discovery, _joined, _labelled, _without

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matgen.workflow.kinds.molecules import Molecules
    from matgen.workflow.stage import Facts, Workspace

SDF, TABLE = "candidates.sdf", "candidates.csv"

COMPARED = 5000
"""Known molecules that similarity is measured to, drawn by a fixed seed."""


@dataclass(frozen=True)
class MoleculeWork:
    """The work of each stage under one configuration.

    Args:
        config: The configuration.
    """

    config: Molecules

    @property
    def shared(self) -> Discovery:
        """Reading data and training a generator, which molecules and crystals share."""
        return Discovery(self.config)  # type: ignore[arg-type]  # both have the sections data and train

    def sample(self, work: Workspace) -> Facts:
        """Draw molecules from every generator."""
        drawn = _joined([self._draw(place, work) for place in range(len(self.config.sample))])
        columns: dict[str, list[str | None]] = {SMILES: [_smiles(s) for s in drawn.structures]}
        columns |= {"formula": [formula_of(s) for s in drawn.structures]}
        whole = _without(drawn, [*columns]).with_columns(columns)
        whole.reject("sample", ["no molecule" if text is None else None for text in columns[SMILES]]).write(work.folder)
        return {"generators": ", ".join(dict.fromkeys(map(str, drawn.table["generator"])))}

    def screen(self, work: Workspace) -> Facts:
        """Reject what chemistry forbids."""
        before = work.candidates("sample")
        screened = _without(screen(before, self.config.screen.constraints, executor=work.executor), ["space_group"])
        screened.write(work.folder)
        return {}

    def novelty(self, work: Workspace) -> Facts:
        """Reject repeats and known molecules, by canonical SMILES; add what bonds alone tell."""
        before = work.candidates("screen")
        known = [text for path in self._known(work) for text in read_smiles_column(path)]
        judged = judge_novelty(before, known, reject_known=self.config.known.reject_known)
        if not known:  # nothing to be new against
            judged = _without(judged, ["novel", "similarity_known"])
        described(judged).write(work.folder)
        reference = f"{len(known)} molecules, by canonical isomeric SMILES"
        return {"novelty_reference": reference if known else "none given, so novelty was not judged"}

    def predict(self, work: Workspace) -> Facts:
        """Predict properties with their uncertainty."""
        plan = self.config.predict
        predict(plan.properties, work.candidates("novelty"), plan.models).write(work.folder)
        return {}

    def quantum(self, work: Workspace) -> Facts:
        """Choose the most promising, give them conformers, relax them, and compute their orbitals."""
        before, plan = work.candidates("predict"), self.config.quantum
        ranked = rank(before, plan.objectives)
        late = [None if i < plan.n else f"place {i + 1} of {len(ranked)} for tight binding" for i in range(len(ranked))]
        added = [name for name in ranked.table if name not in before.table]
        chosen = _without(ranked, added).reject("quantum", late)
        embedded = with_conformers(chosen, self.config.seed, executor=work.executor)
        relaxed = relax_molecules(
            embedded,
            plan.potential,
            fmax=plan.fmax,
            max_steps=plan.max_steps,
            seconds=plan.seconds,
            executor=work.executor,
        )
        _labelled(with_orbitals(relaxed, executor=work.executor), before, "quantum").write(work.folder)
        method = "the semi-empirical tight-binding method GFN2-xTB" if plan.potential == "gfn2-xtb" else plan.potential
        return {
            "potential": plan.potential,
            "energies_by": method,
            "orbitals": "GFN2-xTB, single point, one conformer, gas phase",
        }

    def rank(self, work: Workspace) -> Facts:
        """Order the molecules, with reasons."""
        plan = self.config.rank
        rank(work.candidates("quantum"), plan.objectives, floor=plan.floor).write(work.folder)
        return {}

    def _known(self, work: Workspace) -> list[str]:
        own = [str(work.done["data"] / DATASET / STRUCTURES)] if "data" in work.done else []
        return [*self.config.known.reference, *own]

    def _draw(self, place: int, work: Workspace) -> Candidates:
        plan = self.config.sample[place]
        model, config = plan.model, dict(plan.config)
        if self.config.train is not None and model == self.config.train.name:
            model = str(work.done["train"] / model)
        if model == "recombination" and "data" in work.done:
            config.setdefault("library", str(work.done["data"] / DATASET))
        return sample(
            model,
            seed=self.shared._seed(place),
            constraints=plan.constraints,
            config=config,
            options=plan.options,
            executor=work.executor,
            **plan.asked(),
        )


def judge_novelty(candidates: Candidates, known: Sequence[str], *, reject_known: bool = True) -> Candidates:
    """Mark molecules that are known and reject repeats, by canonical SMILES.

    Args:
        candidates: With a column ``smiles`` of canonical SMILES.
        known: SMILES of known molecules; those that are no molecule are left out.
        reject_known: Whether known ones are rejected.

    Returns:
        Candidates with ``novel`` and ``similarity_known``, Tanimoto similarity to the nearest of at most 5,000 known
        ones (Morgan radius 2); missing where nothing is known.
    """
    there = {text for text in map(_canonical, known) if text is not None}
    smiles = [str(text) for text in candidates.table[SMILES]]
    first = {text: place for place, text in reversed(list(enumerate(smiles)))}
    reasons = [
        "repeats another candidate" if first[text] != place else "known" if reject_known and text in there else None
        for place, text in enumerate(smiles)
    ]
    columns = {"novel": [text not in there for text in smiles], "similarity_known": _similarity(smiles, sorted(there))}
    return candidates.with_columns(columns).reject("novelty", reasons)


def described(candidates: Candidates) -> Candidates:
    """Candidates with the columns of :data:`FROM_BONDS` that they lack."""
    found = [parse_smiles(text) for text in candidates.table[SMILES]]
    new = {n: [float(f(m)) for m in found] for n, f in FROM_BONDS.items() if n not in candidates.table}
    return candidates.with_columns(new)


def finish(folder: Path, done: Mapping[str, Path], top: int) -> list[str]:
    """Lay out the products: tables, structures as SDF, extended XYZ and an ASE database, and the report.

    Args:
        folder: The run's folder.
        done: Folder of each stage.
        top: Candidates with a card in the report.

    Returns:
        Names of the products.
    """
    from matgen.report.exports import DATABASE, EXTXYZ, csv_text
    from matgen.report.page import FILE, report

    candidates = Candidates.read(done["rank"])
    candidates.write(folder)
    for name in (EXTXYZ, DATABASE):
        write_structures(folder / name, candidates.table, candidates.structures)
    write_text(folder / TABLE, csv_text(candidates.table))
    write_text(folder / SDF, "".join(sdf_entries(candidates)))
    report(folder, top=top)
    return [ACCEPTED, REJECTED, EXTXYZ, DATABASE, TABLE, SDF, FILE]


def sdf_entries(candidates: Candidates) -> Iterator[str]:
    """Each molecule as an entry of an SDF: its geometry with bonds, and its plain columns as fields."""
    from matgen.data.molecules import with_geometry

    for row, structure in zip(candidates.table.to_dict("records"), candidates.structures, strict=True):
        fields = "".join(f"> <{n}>\n{v}\n\n" for n, v in row.items() if isinstance(v, str | int | float | np.generic))
        block = Chem.MolToMolBlock(with_geometry(structure)).split("\n", 1)[1]
        yield f"{row['id']}\n{block}{fields}$$$$\n"


def _smiles(structure: Any) -> str | None:
    try:
        return smiles_of(structure)
    except DataError:
        return None


def _canonical(text: str) -> str | None:
    try:
        return canonical(text)
    except DataError:
        return None


def _similarity(smiles: Sequence[str], known: Sequence[str]) -> np.ndarray:
    if not known or not smiles:
        return np.full(len(smiles), np.nan)
    some = [known[i] for i in np.random.default_rng(0).permutation(len(known))[:COMPARED]]
    return tanimoto(fingerprints(smiles) > 0, fingerprints(some) > 0).max(axis=1)
