"""Holds the right to control rollouts: takes it when nobody does, keeps it while it lives, gives it back."""

from collections.abc import Callable
from typing import Final

from serinus.rollout.control.heartbeats import Heartbeats
from serinus.rollout.ports import Journal, Lease
from serinus.telemetry.logs import get_logger

LEASE_LOST: Final = "LEASE_LOST"
"""Reason of the Conflict that a write under an old lease ends with."""

_log = get_logger(__name__)


class Leadership:
    """One server's side of the lease.

    Nothing depends on clocks that agree: who loses the lease without knowing is refused by its fence.

    Attributes:
        lease: What this server holds as far as it knows; None for nothing.

    Args:
        journal: Has the lease.
        server: This one; another one after each start.
        monotonic: Seconds.
        lost_after_s: A holder whose beat has not changed for so long is taken for dead.
    """

    def __init__(self, journal: Journal, *, server: str, monotonic: Callable[[], float], lost_after_s: float) -> None:
        self._journal = journal
        self._server = server
        self._monotonic = monotonic
        self._heartbeats = Heartbeats(lost_after_s)
        self.lease: Lease | None = None

    def __repr__(self) -> str:
        return f"<Leadership of {self._server} [{self.lease}]>"

    async def claim(self) -> Lease | None:
        """The lease after another beat, or newly taken; None while it is another server's."""
        had = self.lease
        if had is not None and await self._beat(had) is None:
            _log.warning("rollouts no longer controlled", server=self._server, fence=had.fence)
        if self.lease is None:
            self.lease = await self._take()
            if self.lease is not None:
                _log.info("rollouts controlled", server=self._server, fence=self.lease.fence)
        return self.lease

    async def leave(self) -> None:
        """Give it back, if it is held."""
        lease, self.lease = self.lease, None
        self._heartbeats.forget()
        if lease is not None:
            await self._journal.leave_lease(lease)
            _log.info("rollouts no longer controlled", server=self._server, fence=lease.fence)

    def lose(self) -> None:
        """Take it for lost: a write under it was refused."""
        self.lease = None

    async def _beat(self, lease: Lease) -> Lease | None:
        self.lease = await self._journal.beat_lease(lease)
        return self.lease

    async def _take(self) -> Lease | None:
        # Three cases: nobody's, our own whose taking or last beat was answered to nobody, another server's.
        found = await self._journal.lease()
        if found is None:
            return await self._journal.take_lease(self._server, seen=None)
        if found.holder == self._server:
            return await self._beat(found)
        if self._heartbeats.silent({f"{found.holder} {found.fence}": found.beat}, self._monotonic()):
            return await self._journal.take_lease(self._server, seen=found)
        return None
