"""What a process was doing when it died, in memory that outlives it.

The worker writes, the supervisor reads once the worker is gone. Numbers stand for versions; the name of a number is
written before the number is first used, so whatever instant a process dies at, what a place holds has a name.

    places of runs      4 bytes each: the version that runs there, 0 for none
    places of loads     the same
    names               NAME_BYTES each, from number 1: length, then model, version and number on a line each
"""

import contextlib
import mmap
import os
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from serinus.core.errors import InvalidInput
from serinus.core.version import ModelVersion, Version, check_model_name

RUN_PLACES: Final = 2048  # twice the most compute threads that a server may have
LOAD_PLACES: Final = 64  # more do not load at once, those that never came back included
NAMES: Final = 1024
NAME_BYTES: Final = 256  # a name of 128 bytes, a version of 29 and a number of 19 fit

_PLACES = RUN_PLACES + LOAD_PLACES
_PLACE_BYTES = 4
_NAMES_AT = _PLACES * _PLACE_BYTES
RECORD_BYTES: Final = _NAMES_AT + NAMES * NAME_BYTES


def new_record() -> int:
    """A descriptor of an empty record, which the caller closes; children that it is passed to can write it."""
    descriptor = os.memfd_create("serinus-crash-record")
    os.ftruncate(descriptor, RECORD_BYTES)
    return descriptor


class CrashRecord:
    """Notes what runs and what is loaded; a context manager, which ends the writing.

    Each place of runs belongs to one thread at a time. Writing takes well under a microsecond. What cannot be noted,
    because there is no such place or no room for another name, is not: a run never fails because of its record.

    Args:
        descriptor: Of the record; stays the caller's.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, RECORD_BYTES)
        self._view = memoryview(self._memory)
        self._places = self._view[:_NAMES_AT].cast("I")
        self._numbers: dict[ModelVersion, int] = {}
        self._next = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A run that nobody could wait for may still end: it finds no place then.
        places, self._places = self._places, memoryview(bytearray()).cast("I")
        places.release()
        self._view.release()
        self._memory.close()

    def on_begin(self, slot: int, identity: ModelVersion) -> None:
        """A version runs there from now on."""
        number = self._numbers.get(identity) or self._numbered(identity)
        if slot < RUN_PLACES:
            self._write(slot, number)

    def on_end(self, slot: int) -> None:
        """Nothing runs there any more."""
        if slot < RUN_PLACES:
            self._write(slot, 0)

    @contextlib.contextmanager
    def loading(self, identity: ModelVersion) -> Iterator[None]:
        """The block loads a version; may run on any thread."""
        with self._lock:
            free = (place for place in range(RUN_PLACES, _PLACES) if self._read(place) == 0)
            place = next(free, None)
            if place is not None:
                self._write(place, self._numbered_under_lock(identity))
        try:
            yield
        finally:
            if place is not None:
                self._write(place, 0)

    def _write(self, place: int, number: int) -> None:
        try:  # `contextlib.suppress` would cost half of what all the rest does
            self._places[place] = number
        except (IndexError, ValueError):
            return  # closed meanwhile

    def _read(self, place: int) -> int:
        try:
            return self._places[place]
        except (IndexError, ValueError):
            return 0

    def _numbered(self, identity: ModelVersion) -> int:
        with self._lock:
            return self._numbered_under_lock(identity)

    def _numbered_under_lock(self, identity: ModelVersion) -> int:
        """The number that stands for a version; 0 if there is none to be had."""
        if (known := self._numbers.get(identity)) is not None:
            return known
        name = f"{identity.model}\n{identity.version_text}\n{identity.number_text}".encode()
        if len(name) > NAME_BYTES - 1 or not len(self._places):
            return 0
        if (number := self._free_number()) == 0:
            return 0
        at = _NAMES_AT + (number - 1) * NAME_BYTES
        self._view[at : at + 1 + len(name)] = bytes((len(name),)) + name
        self._numbers[identity] = number
        return number

    def _free_number(self) -> int:
        """The next number in turn that no place holds; the version that it stood for gets another one some day."""
        held = set(self._places)
        for _ in range(NAMES):
            self._next = self._next % NAMES + 1
            if self._next not in held:
                self._numbers = {identity: n for identity, n in self._numbers.items() if n != self._next}
                return self._next
        return 0


def read_record(descriptor: int) -> frozenset[ModelVersion]:
    """The versions that were running or being loaded; the process that wrote is gone.

    What cannot be read, because the process wrote where it should not have, is left out.
    """
    record = os.pread(descriptor, RECORD_BYTES, 0)
    if len(record) < RECORD_BYTES:
        return frozenset()
    numbers = set(memoryview(record)[:_NAMES_AT].cast("I")) - {0}
    found = (_name(record, number) for number in numbers if number <= NAMES)
    return frozenset(identity for identity in found if identity is not None)


def _name(record: bytes, number: int) -> ModelVersion | None:
    at = _NAMES_AT + (number - 1) * NAME_BYTES
    text = record[at + 1 : at + 1 + record[at]]
    try:
        model, version, digits = text.decode("ascii").split("\n")
        return ModelVersion(check_model_name(model), Version.parse(version), int(digits))
    except (ValueError, InvalidInput):
        return None
