"""Becomes the supervisor: the same process, its program begun anew, without what reading the command line took.

A supervisor lives as long as its workers and is to weigh little, so it keeps nothing of typer, numpy and the rest. Its
process number and what `ps` shows of it stay as they are. Settings travel in memory that no file system shows: they may
hold a password.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

_DESCRIPTOR = "SERINUS_HANDED_OVER"


def hand_over(document: Mapping[str, Any]) -> NoReturn:
    """Begin this process anew, so that `handed_over` gives it `document`, values of JSON."""
    descriptor = os.memfd_create("serinus-settings", 0)  # without a flag: it is still there afterwards
    with os.fdopen(descriptor, "w", encoding="utf-8", closefd=False) as memory:
        json.dump(document, memory)
    os.environ[_DESCRIPTOR] = str(descriptor)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program


def handed_over() -> dict[str, Any] | None:
    """What this process was handed by what it was before; None for one that has just begun. To be asked once."""
    descriptor = os.environ.pop(_DESCRIPTOR, None)
    if descriptor is None:
        return None
    with os.fdopen(int(descriptor), encoding="utf-8") as memory:
        memory.seek(0)
        document: dict[str, Any] = json.load(memory)
    return document
