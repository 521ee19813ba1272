"""Counters over the ends of processes."""

from collections.abc import Collection

from serinus.telemetry.merging import Families, exposed, merged, parsed
from serinus.telemetry.worker_totals import WorkerTotals


def said(*, rows: int, queued: int, model: str = "ocr") -> Families:
    """What a worker shows."""
    return parsed(f"""# HELP serinus_rows_total Rows.
# TYPE serinus_rows_total counter
serinus_rows_total{{model="{model}",version="1.0.0"}} {rows}.0
# HELP serinus_refused_total Refused.
# TYPE serinus_refused_total counter
serinus_refused_total{{reason="other"}} 1.0
# HELP serinus_queue_calls Calls.
# TYPE serinus_queue_calls gauge
serinus_queue_calls{{model="{model}",version="1.0.0"}} {queued}.0
# HELP process_resident_memory_bytes Memory.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 100.0
""")


def samples(totals: WorkerTotals, answering: Collection[int]) -> list[str]:
    text = exposed(merged(totals.parts(answering)))
    return [line for line in text.splitlines() if line and not line.startswith("#")]


OCR_ROWS = 'serinus_rows_total{model="ocr",version="1.0.0"}'
OCR_QUEUE = 'serinus_queue_calls{model="ocr",version="1.0.0"}'
REFUSED = 'serinus_refused_total{reason="other"}'
MEMORY = "process_resident_memory_bytes"


def test_what_a_process_counted_outlives_it():
    """Its counters stay, its gauges go, and its successor counts on from there."""
    totals = WorkerTotals()
    totals.seen(10, said(rows=5, queued=1))
    totals.seen(11, said(rows=7, queued=2))
    assert samples(totals, {10, 11}) == [
        f"{OCR_ROWS} 12.0",
        f"{REFUSED} 2.0",
        f"{OCR_QUEUE} 3.0",
        f"{MEMORY} 200.0",
    ]
    totals.gone(10)
    totals.seen(12, said(rows=1, queued=0))
    assert samples(totals, {11, 12}) == [
        f"{OCR_ROWS} 13.0",
        f"{REFUSED} 3.0",
        f"{OCR_QUEUE} 2.0",
        f"{MEMORY} 200.0",
    ]


def test_counters_do_not_fall_while_a_process_does_not_answer():
    """What it said last counts on; what it said of the moment does not."""
    totals = WorkerTotals()
    totals.seen(10, said(rows=5, queued=1))
    totals.seen(11, said(rows=7, queued=2))
    assert samples(totals, {11}) == [
        f"{OCR_ROWS} 12.0",
        f"{REFUSED} 2.0",
        f"{OCR_QUEUE} 2.0",
        f"{MEMORY} 100.0",
    ]


def test_when_all_are_gone_their_counters_are_still_there():
    """A scrape between two processes finds no gap to read as a reset."""
    totals = WorkerTotals()
    totals.seen(10, said(rows=5, queued=1))
    totals.gone(10)
    totals.gone(11)
    assert samples(totals, ()) == [f"{OCR_ROWS} 5.0", f"{REFUSED} 1.0"]


def test_versions_that_nobody_has_are_forgotten():
    """Series of the dead are bounded by what the living have loaded; those of no model stay."""
    totals = WorkerTotals()
    totals.seen(10, said(rows=5, queued=1, model="old"))
    totals.gone(10)
    totals.seen(11, said(rows=2, queued=0))
    totals.forget_unloaded()
    assert samples(totals, {11}) == [
        f"{OCR_ROWS} 2.0",
        f"{REFUSED} 2.0",
        f"{OCR_QUEUE} 0.0",
        f"{MEMORY} 100.0",
    ]


def test_memory_is_what_a_process_says():
    """None for who has said nothing."""
    totals = WorkerTotals()
    totals.seen(10, said(rows=5, queued=1))
    assert (totals.resident_bytes(10), totals.resident_bytes(11)) == (100.0, None)
