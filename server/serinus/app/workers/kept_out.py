"""The versions that the supervisor keeps out, as one worker acts on it."""

from collections.abc import Iterable

from serinus.core.errors import ModelRejected
from serinus.core.version import ModelVersion
from serinus.lifecycle.models import Models
from serinus.lifecycle.policy import QUARANTINED
from serinus.workers.quarantine import Quarantined


class KeptOut:
    """What must not be loaded; nothing of it where there is no supervisor."""

    def __init__(self) -> None:
        self._entries: dict[ModelVersion, Quarantined] = {}

    def admit(self, identity: ModelVersion) -> None:
        """Let a load pass.

        Raises:
            ModelRejected: QUARANTINED, with a sentence that says what happened and what to do.
        """
        if (entry := self._entries.get(identity)) is not None:
            raise _error(entry)

    def replace(self, entries: Iterable[Quarantined], models: Models) -> None:
        """Keep these out from now on, and no others: what serves of them goes, what is forgiven is loaded again."""
        before, self._entries = self._entries, {entry.version: entry for entry in entries}
        for identity, entry in self._entries.items():
            if identity not in before:
                models.keep_out(identity, _error(entry))
        for model in {identity.model for identity in before.keys() - self._entries.keys()}:
            models.retry(model)


def _error(entry: Quarantined) -> ModelRejected:
    return ModelRejected(entry.sentence, reason=QUARANTINED, field="version")
