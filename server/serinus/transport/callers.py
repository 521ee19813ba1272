"""Who calls, in the words of the audit, and how long a call may take."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import unquote

from serinus.core.errors import DeadlinePassed
from serinus.transport.deadlines import Budgets
from serinus.transport.guard import Context
from serinus.transport.wire_limits import check_text


def actor_of(said: str, context: Context) -> str:
    """Who writes: who they say they are, or else `anonymous@` and the address that they call from.

    Nothing proves what is said; the address is without its port, which says nothing to whoever reads the audit.

    Raises:
        InvalidInput: no such text is kept.
    """
    check_text("actor", said, field="actor")
    return said or f"anonymous@{_address(context.peer())}"


def _address(peer: str) -> str:
    """The host in what gRPC calls a peer, such as `ipv4:127.0.0.1:50312` or `ipv6:%5B::1%5D:50312`."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return kind or "unknown"  # a unix socket's path is this machine's own business
    return unquote(rest).rpartition(":")[0].strip("[]")


@contextlib.asynccontextmanager
async def answered_in_time(context: Context, budgets: Budgets) -> AsyncIterator[None]:
    """Ends the block when nobody waits for it any more, or when it has taken longer than any call may.

    Raises:
        DeadlinePassed: it was ended.
    """
    budget_s = budgets.deadline(0.0, context.time_remaining(), 0)
    try:
        async with asyncio.timeout(budget_s) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlinePassed(f"no answer within {budget_s:.3g} s") from error
