"""How a synchronous face waits for its asynchronous one."""

import contextlib
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any, Protocol, TypeVar

from serinus_client.errors import SerinusError

T = TypeVar("T")
_END: Any = object()


class Run(Protocol):
    """Runs a coroutine on the client's loop and returns what it returns."""

    def __call__(self, job: Coroutine[Any, Any, T], /) -> T:
        """Wait for it."""
        ...


def iterate(run: Run, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """The items one by one; leaving early ends the call behind them."""

    async def step() -> T:
        return await anext(items, _END)

    async def close() -> None:
        await items.aclose()

    try:
        while (item := run(step())) is not _END:
            yield item
    finally:
        # A client that is closed by now has ended the call itself.
        with contextlib.suppress(SerinusError, RuntimeError):
            run(close())
