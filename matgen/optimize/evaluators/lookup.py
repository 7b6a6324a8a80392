"""Values that the candidates carry already, as in a pool of known answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.errors import ConfigError, did_you_mean
from matgen.optimize.evaluators.base import EVALUATORS, Evaluator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor
    from matgen.optimize.aims import Aim, Limit


@EVALUATORS.register("lookup")
@dataclass
class Lookup(Evaluator):
    """Reads the values from the columns of the pool; a missing value is a failed evaluation.

    Args:
        columns: Column by property, where it is called otherwise.
    """

    name: ClassVar[str] = "lookup"

    columns: dict[str, str] = field(default_factory=dict)

    def evaluate(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Candidates with their values."""
        reasons: list[str | None] = [None] * len(candidates)
        for part in (*aims, *limits):
            column = self.columns.get(part.property, part.property)
            if column not in candidates.table:
                fix = did_you_mean(column, candidates.table.columns)
                raise ConfigError(f"the pool has no column {column!r}.", where="evaluate.lookup", fix=fix)
            values = candidates.table[column].to_numpy(dtype=float, na_value=np.nan)
            if part.property not in candidates.table:
                candidates = candidates.with_columns({part.property: values})
            for i in np.flatnonzero(~np.isfinite(values)):
                reasons[i] = f"the pool has no {part.property}"
        return candidates.reject("lookup", reasons)
