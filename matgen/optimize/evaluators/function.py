"""Values from a function of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.data.structures import pack
from matgen.optimize.evaluators.base import Evaluator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row
    from matgen.optimize.aims import Aim, Limit


@dataclass
class Function(Evaluator):
    """Calls a function on the packed structures of a round, one shard a candidate, in the executor's workers.

    Args:
        function: Importable; takes items with ``numbers``, ``frac``, ``cell`` and the columns of the candidate, and
            returns one row of values each, or a row with the single key ``error``.
        seconds: Time limit for one candidate.
    """

    name: ClassVar[str] = "function"

    function: Callable[[Any], list[Any]]
    seconds: float | None = None

    def evaluate(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Candidates with the values that the function gave."""
        packed = pack(candidates.structures)
        structures = [dict(zip(packed, values, strict=True)) for values in zip(*packed.values(), strict=True)]
        plain = candidates.table.astype(object).where(candidates.table.notna(), None).to_dict("records")
        items = [{**row, **structure} for row, structure in zip(plain, structures, strict=True)]
        rows = executor.map(self.function, items, name="evaluate", shard=1, seconds=self.seconds)
        wanted = dict.fromkeys(part.property for part in (*aims, *limits))
        reasons = [_reason(row, list(wanted)) for row in rows]
        values = {name: [row.get(name) for row in rows] for name in wanted}
        return candidates.with_columns(values).reject("evaluate", reasons)


def _reason(row: Row, wanted: Sequence[str]) -> str | None:
    if "error" in row:
        return str(row["error"])
    missing = [name for name in wanted if row.get(name) is None]
    return f"the evaluation gave no {', '.join(missing)}" if missing else None
