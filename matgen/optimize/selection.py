"""Several candidates for each wanted structure, of which a judge keeps the best: with every generator.

Shapes: n wanted structures, k candidates for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.errors import ConfigError
from matgen.generators import sampling
from matgen.optimize.judges import Judge, judge_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from pathlib import Path

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor

SELECTION = "selection"
"""Stage of candidates that were not the best of those drawn for one wanted structure."""


def sample(
    model: str | Path,
    n: int = 100,
    seed: int = 0,
    *,
    candidates: int = 1,
    rank_by: str | None = None,
    executor: Executor | None = None,
    **asked: Any,
) -> Candidates:
    """Draw structures from a generator, each the best of several where ``candidates`` says so.

    Args:
        model: Name of a shipped model or generator, or folder of a trained one.
        n: Structures wanted.
        seed: See :func:`matgen.generators.sampling.sample`, as for all that is not named here.
        candidates: k structures drawn for each wanted one; the others are rejected with their place as the reason.
        rank_by: What is best, see :func:`matgen.optimize.judges.judge_of`: ``energy``, ``relaxed-energy``,
            ``likelihood``, ``arrangement`` or ``surrogate:PROPERTY``.
        executor: Where the work runs; a process pool by default.
        **asked: ``formula``, ``chemical_system``, ``n_atoms``, ``space_group``, ``target``, ``constraints``, ``config``
            and ``options`` of :func:`matgen.generators.sampling.sample`.

    Raises:
        ConfigError: Something asked for cannot be honoured.
    """
    judge = named_judge(candidates, rank_by, str(model), asked)
    made = sampling.sample(model, n * candidates, seed, executor=executor, **asked)
    if judge is None:
        return made
    return best_of(made, [i // candidates for i in range(len(made))], judge, executor)


def predict_structures(
    model: str | Path,
    data: str | Path,
    seed: int = 0,
    *,
    candidates: int = 1,
    rank_by: str | None = None,
    executor: Executor | None = None,
    **asked: Any,
) -> Candidates:
    """One structure for each row of a table of compositions, the best of several where ``candidates`` says so.

    Args:
        model: It must honour ``formula``.
        data: As for :func:`matgen.generators.prediction.predict_structures`.
        seed: Of everything random.
        candidates: As for :func:`sample`.
        rank_by: As for :func:`sample`.
        executor: As for :func:`sample`.
        **asked: ``config`` and ``options``.
    """
    from matgen.generators import prediction

    judge = named_judge(candidates, rank_by, str(model), {**asked, "formula": "of each row"})
    made = prediction.predict_structures(model, data, seed, answers=candidates, executor=executor, **asked)
    return made if judge is None else best_of(made, [i // candidates for i in range(len(made))], judge, executor)


def best_of(made: Candidates, wanted: Sequence[Hashable], judge: Judge, executor: Executor | None = None) -> Candidates:
    """The best candidate for each wanted structure; ties, and candidates that the judge fails on, by their order.

    Adds ``rank_by`` and ``rank_score`` (small is good). At least one candidate for each stays, even where the judge can
    say nothing of any: later stages then say why.

    Args:
        made: Candidates.
        wanted: For which wanted structure each was drawn.
        judge: Gives scores.
        executor: Where it works.
    """
    scores = judge.scores(made, executor)
    table = pd.DataFrame({"wanted": list(wanted), "score": np.where(np.isfinite(scores), scores, np.inf)})
    place = table.groupby("wanted", sort=False)["score"].rank(method="first").astype(int)
    size = table.groupby("wanted", sort=False)["score"].transform("size")
    reasons = [
        None if p == 1 else f"place {p} of {n} by {judge.name} ({'none' if not np.isfinite(s) else f'{s:.4g}'})"
        for p, n, s in zip(place, size, scores, strict=True)
    ]
    columns = {"rank_by": [judge.name] * len(made), "rank_score": scores}
    return made.with_columns(columns).reject(SELECTION, reasons)


def named_judge(candidates: int, rank_by: str | None, model: str, asked: dict[str, Any]) -> Judge | None:
    """The judge that :func:`sample` needs for these arguments, if it needs one.

    Raises:
        ConfigError: There is no such judge, or only one of ``candidates`` and ``rank_by`` was given.
    """
    if candidates < 1:
        raise ConfigError("at least 1 candidate is drawn.", where="candidates")
    if (candidates > 1) != (rank_by is not None):
        what = "several candidates are drawn, but not by what the best is known" if rank_by is None else "nothing is"
        fix = "Give rank_by (energy, likelihood, arrangement, surrogate:PROPERTY) and candidates above 1 together."
        raise ConfigError(f"{what}{' ranked: one candidate is drawn' if rank_by else ''}.", where="rank_by", fix=fix)
    if rank_by is None:
        return None
    return judge_of(rank_by, model, asked.get("config"), same_formula=bool(asked.get("formula")))
