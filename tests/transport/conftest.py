"""What holds after every test that uses it."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.fakes import settle


@pytest.fixture
async def nothing_left_behind() -> AsyncIterator[None]:
    """No task outlives its stream, and nothing is said about an error that nobody saw."""
    loop = asyncio.get_running_loop()
    said: list[dict[str, Any]] = []
    before = asyncio.all_tasks()
    loop.set_exception_handler(lambda _loop, context: said.append(context))
    yield
    await settle()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    gc.collect()
    await settle()
    loop.set_exception_handler(None)
    assert (left, said) == (set(), [])
