"""The works to cite, by what a run used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matgen.report.records import Records


@dataclass(frozen=True)
class Work:
    """A published work.

    Args:
        used_for: What it did in the run.
        text: Authors, title, journal, year.
        doi: Its identifier.
        mark: A word in the run's records that shows its use; empty if it is always used.
    """

    used_for: str
    text: str
    doi: str
    mark: str = ""


WORKS = (
    Work(
        "Potential",
        "B. Deng et al., CHGNet as a pretrained universal neural network potential for charge-informed atomistic "
        "modelling, Nature Machine Intelligence 5, 1031 (2023)",
        "10.1038/s42256-023-00716-3",
        "chgnet",
    ),
    Work(
        "Reference structures",
        "A. Jain et al., Commentary: The Materials Project, APL Materials 1, 011002 (2013)",
        "10.1063/1.4812323",
        "materials project",
    ),
    Work(
        "Charge neutrality",
        "D. W. Davies et al., SMACT: Semiconducting Materials by Analogy and Chemical Theory, JOSS 4, 1361 (2019)",
        "10.21105/joss.01361",
        "smact",
    ),
    Work(
        "Structures, matching, hulls",
        "S. P. Ong et al., Python Materials Genomics (pymatgen), Computational Materials Science 68, 314 (2013)",
        "10.1016/j.commatsci.2012.10.028",
    ),
    Work(
        "Files, optimisers",
        "A. H. Larsen et al., The atomic simulation environment, J. Phys.: Condens. Matter 29, 273002 (2017)",
        "10.1088/1361-648X/aa680e",
    ),
    Work(
        "Bonds in the drawings",
        "N. E. R. Zimmermann and A. Jain, Local structure order parameters and site fingerprints, RSC Advances 10, "
        "6063 (2020)",
        "10.1039/C9RA07755C",
    ),
    Work(
        "3-D view",
        "N. Rego and D. Koes, 3Dmol.js: molecular visualization with WebGL, Bioinformatics 31, 1322 (2015)",
        "10.1093/bioinformatics/btu829",
    ),
)


def citations(records: Records) -> list[Work]:
    """The works that a run stands on: those always used, and those that its records name."""
    said = json.dumps([records.run, records.config], default=str).lower()
    return [work for work in WORKS if work.mark in said]
