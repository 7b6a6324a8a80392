"""Few transactions for many small reads and writes of a study in a database.

Optuna sends each parameter and attribute of a trial in a transaction of its own and reads the study again for each
suggestion. Here the writes of running trials are kept back until somebody must see them, and a round of suggestions
works on one reading.
"""

from __future__ import annotations

import copy
import json
import logging
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from optuna.distributions import check_distribution_compatibility, distribution_to_json
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from sqlalchemy import delete, insert, select

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, TrialState

log = logging.getLogger(__name__)

ATTRIBUTES = {"user": models.TrialUserAttributeModel, "system": models.TrialSystemAttributeModel}
"""Tables of attributes."""


class FewTransactions(_CachedStorage):
    """Optuna's cached database whose writes to running trials travel together.

    Nothing is promised that Optuna's own cache does not promise: what was written to a trial is in the database before
    its state changes, and before this process reads what others wrote. A process that dies loses only what belongs to
    trials that are evaluated anew anyway. The writes to a trial that another process has meanwhile declared lost are
    dropped.

    Args:
        backend: The database.
    """

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._params: list[dict[str, Any]] = []
        self._attributes: dict[str, dict[tuple[int, str], Any]] = {kind: {} for kind in ATTRIBUTES}
        self._reading = self._fresh = True

    @contextmanager
    def one_reading(self) -> Iterator[None]:
        """Read the study anew at the first use only; what this process writes itself is seen at once."""
        before, self._reading = self._reading, False
        self._fresh = not before
        try:
            yield
        finally:
            self._reading = before

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """See Optuna; the first use of a parameter is checked against what other processes made of it."""
        study, number = self._trial_id_to_study_id_and_number[trial_id]
        known = self._studies[study].param_distribution.get(param_name)
        if known is None:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        else:
            check_distribution_compatibility(known, distribution)
            row = {"trial_id": trial_id, "param_name": param_name, "param_value": param_value_internal}
            self._params.append({**row, "distribution_json": distribution_to_json(distribution)})
        own = self._studies[study].trials[number]
        own.params[param_name] = distribution.to_external_repr(param_value_internal)
        own.distributions[param_name] = distribution

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        self._attributes["user"][trial_id, key] = value
        self._own(trial_id).user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        self._attributes["system"][trial_id, key] = value
        self._own(trial_id).system_attrs[key] = value

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """See Optuna; what was written before goes first."""
        self.flush()
        changed = super().set_trial_state_values(trial_id, state, values)
        if changed:
            own = self._own(trial_id)
            if not state.is_finished():
                own.state = state
        return changed

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See Optuna; during one reading, a trial of this process is what it wrote itself."""
        if not self._reading and trial_id in self._trial_id_to_study_id_and_number:
            return copy.deepcopy(self._own(trial_id))
        self.flush()
        return super().get_trial(trial_id)

    def flush(self) -> None:
        """Send what was kept back, in one transaction."""
        attributes = {kind: rows for kind, rows in self._attributes.items() if rows}
        ids = {row["trial_id"] for row in self._params} | {trial for rows in attributes.values() for trial, _ in rows}
        if not ids:
            return
        params, self._params = self._params, []
        self._attributes = {kind: {} for kind in ATTRIBUTES}
        with _create_scoped_session(self._backend.scoped_session) as session:
            found = session.execute(
                select(models.TrialModel.trial_id, models.TrialModel.state).where(models.TrialModel.trial_id.in_(ids))
            )
            open_ids = {trial for trial, state in found if not state.is_finished()}
            for trial in ids - open_ids:
                log.warning("trial with id %d was ended by another process; what it found here is dropped", trial)
            if rows := [row for row in params if row["trial_id"] in open_ids]:
                session.execute(insert(models.TrialParamModel), rows)
            for kind, values in attributes.items():
                self._replace(session, kind, {key: v for key, v in values.items() if key[0] in open_ids})

    def _replace(self, session: Any, kind: str, values: dict[tuple[int, str], Any]) -> None:
        """Put attributes in the place of those with the same names."""
        table: Any = ATTRIBUTES[kind]
        if values:
            ids, keys = {trial for trial, _ in values}, {key for _, key in values}
            old = session.execute(select(table.trial_id, table.key).where(table.trial_id.in_(ids), table.key.in_(keys)))
            for trial, key in [(trial, key) for trial, key in old if (trial, key) in values]:
                session.execute(delete(table).where(table.trial_id == trial, table.key == key))
            rows = [{"trial_id": t, "key": key, "value_json": json.dumps(v)} for (t, key), v in values.items()]
            session.execute(insert(table), rows)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        if not self._reading and self._fresh:
            return
        self.flush()
        super()._read_trials_from_remote_storage(study_id)
        self._fresh = True

    def _own(self, trial_id: int) -> FrozenTrial:
        study, number = self._trial_id_to_study_id_and_number[trial_id]
        return self._studies[study].trials[number]


def sent(study: optuna.Study) -> None:
    """Let other processes see all that this one wrote."""
    if isinstance(study._storage, FewTransactions):
        study._storage.flush()


def one_reading(study: optuna.Study) -> AbstractContextManager[None]:
    """Within the block the study is read once, where its storage knows how."""
    storage = study._storage
    return storage.one_reading() if isinstance(storage, FewTransactions) else nullcontext()
