"""What the supervisor shows of its workers."""

from serinus.core.version import ModelVersion, Version
from serinus.telemetry.exposition import text_of
from serinus.telemetry.worker_metrics import WorkerRow, worker_families


def test_workers_are_shown_by_state_and_by_place():
    """States that nobody is in show 0; memory that nobody knows is not shown."""
    families = worker_families(
        [
            WorkerRow(1, "ready", restarts=0, is_up=True, resident_bytes=1024.0),
            WorkerRow(2, "starting", restarts=3, is_up=False, resident_bytes=None),
        ],
        states=("starting", "ready", "silent"),
        quarantined=[ModelVersion("ocr", Version(2), 5)],
    )
    assert [line for line in text_of(families).splitlines() if not line.startswith("#")] == [
        'serinus_workers{state="starting"} 1.0',
        'serinus_workers{state="ready"} 1.0',
        'serinus_workers{state="silent"} 0.0',
        'serinus_worker_up{worker="1"} 1.0',
        'serinus_worker_up{worker="2"} 0.0',
        'serinus_worker_restarts_total{worker="1"} 0.0',
        'serinus_worker_restarts_total{worker="2"} 3.0',
        'serinus_worker_resident_bytes{worker="1"} 1024.0',
        'serinus_quarantined{model="ocr",version="2.0.0"} 1.0',
    ]
