"""Servers inside the tests' own process."""

import asyncio
import contextlib
import io
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from serinus.app.server import RunningServer, running_server
from serinus.config.settings import load_settings
from serinus.telemetry.logs import Logs, configure_logs

Running = Callable[..., AbstractAsyncContextManager[RunningServer]]


class Written(io.StringIO):
    """A log."""

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["level"] == "error"]


@pytest.fixture
def written() -> Written:
    """Where the log goes."""
    return Written()


@pytest.fixture
def logs(written: Written) -> Iterator[Logs]:
    """The log of the process."""
    made = configure_logs(written, json=True)
    yield made
    made.close()


@pytest.fixture
def running(logs: Logs, tmp_path: Path, written: Written) -> Running:
    """Runs a server on free ports with settings by their dotted names; nothing is left of it afterwards."""

    @contextlib.asynccontextmanager
    async def run(**flags: Any) -> AsyncIterator[RunningServer]:
        flags = {name.replace("__", "."): value for name, value in flags.items()}
        defaults = {
            "grpc.host_port": "127.0.0.1:0",
            "http.host_port": "127.0.0.1:0",
            "compute.threads": 1,
            "state": str(tmp_path / "state"),
        }
        settings = load_settings(None, flags=defaults | flags, environ={})
        before = asyncio.all_tasks()
        async with running_server(settings, logs=logs, rng=random.Random(1)) as server:
            yield server
        assert asyncio.all_tasks() - before == set()
        assert written.errors == []

    return run
