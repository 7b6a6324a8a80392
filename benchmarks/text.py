"""How far a condition in plain words is honoured.

    python benchmarks/text.py --structures MP20_TEST [--model diffusion-text-mp20] [--n 200] [--guidance 1 2 3]

For each of ``n`` structures that were not learned from, a sentence names its crystal system, its number of elements,
its kind by the anion, and two of its elements. One crystal is drawn for each sentence, and beside it one without words
from the same noise. Counted is how often the crystal is as the sentence says, word by word; symmetry by moyo at 0.1 Å.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Element

from matgen.data.request import Request
from matgen.data.structures import from_batch, read_structures
from matgen.data.symmetry import space_group_number
from matgen.evaluate.interval import wilson
from matgen.evaluate.validity import structural
from matgen.generators.base import load_generator
from matgen.generators.descriptions import COUNTS, Facts
from matgen.runtime import Streams, limit_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

FORMS = (
    "I would like {a} {system} {count} {kind} that contains {names}",
    "{system} {kind}, {count}, made of {names} among others",
    "{a} {count} {kind} with {names}; it should be {system}",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", required=True)
    parser.add_argument("--model", default="diffusion-text-mp20")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    args = parser.parse_args()
    limit_threads(1)
    wishes = list(wished(args.structures, args.n))
    print(f"{len(wishes)} sentences, {platform.machine()}, 1 thread, {datetime.now(UTC):%Y-%m-%d}; for example:")
    print("\n".join(f"    {wish['text']}" for wish in wishes[:3]))
    print("\n| words | crystal system | number of elements | kind | both elements | all | valid | crystals/s |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    model = load_generator(args.model)
    for guidance in [None, *args.guidance]:
        asked = [Request(text=None if guidance is None else wish["text"]) for wish in wishes]
        options = {} if guidance is None else {"guidance": guidance}
        begin = time.perf_counter()
        made = from_batch(model.sample_each(asked, rng=Streams(0, "text"), **options))
        speed = len(made) / (time.perf_counter() - begin)
        held = [honoured(crystal, wish) for crystal, wish in zip(made, wishes, strict=True)]
        columns = [[row[name] for row in held] for name in ("system", "count", "kind", "elements")]
        columns += [[all(row.values()) for row in held], structural(made)]
        label = "none" if guidance is None else f"guidance {guidance:g}"
        print(f"| {label} | {' | '.join(map(shown, columns))} | {speed:.1f} |", flush=True)


def wished(source: str, n: int) -> list[dict[str, Any]]:
    """Sentences about structures, each with what they say."""
    folded = Path(source) / "structures.parquet"
    _, structures = read_structures(folded if folded.exists() else Path(source))
    rng = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    for i in rng.permutation(len(structures)):
        facts = Facts(structures[i], space_group_number(structures[i]) or 0)
        if len(structures[i]) > 20 or facts.system is None or not 2 <= len(facts.symbols) <= 5:
            continue
        found.append(_wish(facts, rng))
        if len(found) == n:
            break
    return found


def _wish(facts: Facts, rng: np.random.Generator) -> dict[str, Any]:
    symbols = [str(s) for s in rng.permutation(facts.symbols)[:2]]
    says = {"system": facts.system, "count": len(facts.symbols), "kind": kind(facts), "elements": set(symbols)}
    names = " and ".join(Element(s).long_name.lower() for s in symbols)
    words = {"system": facts.system, "count": COUNTS[len(facts.symbols)], "kind": kind(facts), "names": names}
    form = str(rng.choice(FORMS))
    first = form.split("{a} ")[-1].format(**words)
    return {**says, "text": form.format(a="an" if first[0] in "aeiou" else "a", **words)}


def kind(facts: Facts) -> str:
    """Noun by the anion; ``intermetallic`` or ``compound`` where there is none."""
    metals = all(element.is_metal for element in facts.structure.composition.elements)
    return "intermetallic" if metals else facts.anion or "compound"


def honoured(crystal: Structure, wish: dict[str, Any]) -> dict[str, bool]:
    """Which words of a sentence hold."""
    facts = Facts(crystal, space_group_number(crystal) or 0)
    return {
        "system": facts.system == wish["system"],
        "count": len(facts.symbols) == wish["count"],
        "kind": kind(facts) == wish["kind"] or wish["kind"] == "compound",
        "elements": wish["elements"] <= set(facts.symbols),
    }


def shown(values: Sequence[bool]) -> str:
    low, high = wilson(int(np.sum(values)), len(values))
    return f"{100 * np.mean(values):.0f} % ({100 * low:.0f} - {100 * high:.0f})"


if __name__ == "__main__":
    main()
