"""What a dead process was doing."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from serinus.core.version import ModelVersion, Version
from serinus.workers.crash_record import (
    LOAD_PLACES,
    NAMES,
    RECORD_BYTES,
    RUN_PLACES,
    CrashRecord,
    new_record,
    read_record,
)

OCR = ModelVersion("ocr", Version(1, 2, 3), 7)
LONGEST = ModelVersion("m" * 128, Version(999_999_999, 999_999_999, 999_999_999), (1 << 63) - 1)


def version(number: int) -> ModelVersion:
    return ModelVersion("many", Version(number), number)


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = new_record()
    yield made
    os.close(made)


def test_what_runs_and_loads_is_on_record_until_it_ends(descriptor: int):
    """Each place by itself; a version in two places stays until both are free."""
    with CrashRecord(descriptor) as record:
        record.on_begin(0, OCR)
        record.on_begin(3, OCR)
        with record.loading(LONGEST):
            assert read_record(descriptor) == {OCR, LONGEST}
        record.on_end(0)
        assert read_record(descriptor) == {OCR}
        record.on_end(3)
        assert read_record(descriptor) == frozenset()


def test_it_outlives_a_process_that_is_killed(descriptor: int):
    """The memory is the supervisor's as well: no exit handler has to run."""
    script = f"""
import os, signal
from serinus.core.version import ModelVersion, Version
from serinus.workers.crash_record import CrashRecord
with CrashRecord({descriptor}) as record:
    record.on_begin(0, ModelVersion("past", Version(1), 1))
    record.on_end(0)
    record.on_begin(1, ModelVersion("ocr", Version(1, 2, 3), 7))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script], pass_fds=(descriptor,), check=False, timeout=60)
    assert ended.returncode == -9
    assert read_record(descriptor) == {OCR}


def test_numbers_are_used_again_but_never_while_they_are_held(descriptor: int):
    """However many versions come and go, what runs keeps its name."""
    with CrashRecord(descriptor) as record:
        record.on_begin(0, OCR)
        for number in range(1, 2 * NAMES):
            record.on_begin(1, version(number))
        assert read_record(descriptor) == {OCR, version(2 * NAMES - 1)}


def test_what_there_is_no_place_for_is_not_noted(descriptor: int):
    """A run or a load never fails because of its record."""
    with CrashRecord(descriptor) as record:
        record.on_begin(RUN_PLACES, OCR)
        record.on_end(RUN_PLACES)
        assert read_record(descriptor) == frozenset()
        loads = [record.loading(version(number)) for number in range(1, LOAD_PLACES + 2)]
        for load in loads:
            load.__enter__()
        assert read_record(descriptor) == {version(number) for number in range(1, LOAD_PLACES + 1)}
        for load in loads:
            load.__exit__(None, None, None)
        assert read_record(descriptor) == frozenset()


def test_a_run_that_ends_after_the_record_does_not_fail(descriptor: int):
    """A thread that nobody could stop may come back while the process goes."""
    with CrashRecord(descriptor) as record:
        record.on_begin(0, OCR)
    record.on_end(0)
    record.on_begin(0, LONGEST)
    with record.loading(OCR):
        pass
    assert read_record(descriptor) == {OCR}


@pytest.mark.parametrize("junk", [b"\xff" * RECORD_BYTES, b"\x01\x00\x00\x00" + b"\x00" * (RECORD_BYTES - 4), b"\x01"])
def test_what_a_wild_pointer_has_written_is_left_out(descriptor: int, junk: bytes):
    """A record of a process that crashed is not to be believed."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, junk, 0)
    assert read_record(descriptor) == frozenset()


def test_noting_a_run_takes_less_than_a_microsecond(descriptor: int):
    """It happens around each run; of CPU time, because other programs run as well, and the best of some tries."""
    with CrashRecord(descriptor) as record:
        record.on_begin(0, OCR)
        tries = []
        for _ in range(20):
            began = time.thread_time()
            for _ in range(200):
                record.on_begin(0, OCR)
                record.on_end(0)
            tries.append((time.thread_time() - began) / 400)
    assert min(tries) < 3e-6  # under one, with room for a slow machine
