"""Settings as a document for other processes of the same server: everything that counts, secrets included."""

from typing import Any

from serinus.config.settings import Settings
from serinus.config.supervision import Supervision


def document_of(settings: Settings) -> dict[str, Any]:
    """Values of JSON, from which `Settings.model_validate` makes equal settings. Not for anybody to see."""
    # What was not said stays unsaid: a model's own table goes before what its folder says only where it says something.
    document = settings.model_dump(mode="json", exclude_unset=True)
    if (url := settings.registry.database) is not None:
        document["registry"]["database"] = url.get_secret_value()
    return document


def supervision_of(settings: Settings, *, log_format: str) -> Supervision:
    """What the supervisor itself acts by."""
    workers = settings.workers
    return Supervision(
        grpc=settings.grpc.host_port,
        http=settings.http.host_port,
        state=str(settings.state),
        workers=workers.count,
        ready_s=workers.ready_s,
        silent_s=workers.silent_s,
        backoff_s=workers.backoff_s,
        longest_backoff_s=workers.longest_backoff_s,
        most_deaths=workers.most_deaths,
        death_window_s=workers.death_window_s,
        leave_s=settings.drain.notice_s + settings.drain.grace_s,
        load_s=settings.loading.timeout_s,
        log_level=settings.logs.level,
        log_format=log_format,
    )
