"""Moves rollouts: the one server that has the lease looks at all of them, again and again."""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from serinus.core.errors import Conflict, Refused, ServerError, StoreFull, StoreUnavailable
from serinus.rollout.control.leadership import LEASE_LOST, Leadership
from serinus.rollout.control.one_rollout import Metrics, OneRollout
from serinus.rollout.judging.judge import judge as judge_by_guardrails
from serinus.rollout.judging.judgement import Judge
from serinus.rollout.ports import Halts, Journal, Lease, Stored
from serinus.rollout.turns import Turns
from serinus.telemetry.logs import get_logger

LOOKS_TO_WORRY: Final = 10  # by then it is no passing trouble, and a person should know

_LONGEST_WAIT_S = 5.0  # nobody who repaired a database should wait longer for its rollouts
_LEAVING_S = 1.0  # otherwise others take the lease when it has been silent for long enough

_log = get_logger(__name__)


async def _nothing() -> None:
    """Nothing is to be made ready."""


class Controller:
    """Looks at every rollout that has not ended, and moves it; only while this server has the lease.

    `run` must run for that; it goes on through every trouble. While the database is away, nothing moves, and what was
    halted in this server stays so.

    Args:
        journal: Where rollouts are.
        halts: Acts in this server at once.
        server: This one; another one after each start.
        clock: Seconds since 1970.
        monotonic: Seconds.
        metrics: Counts what is decided.
        interval_s: Between two looks.
        lost_after_s: A server that has said nothing new for so long is taken for dead; no look takes longer.
        has_active: Whether there is a rollout that has not ended, as far as this server knows.
        prepare: Has what judging takes ready; awaited before the first look at a rollout.
        sleep: Waits for seconds; for tests.
        judge: Says what to think of the evidence.
    """

    def __init__(
        self,
        journal: Journal,
        halts: Halts,
        *,
        server: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        metrics: Metrics,
        interval_s: float,
        lost_after_s: float,
        has_active: Callable[[], bool],
        prepare: Callable[[], Awaitable[object]] = _nothing,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        judge: Judge = judge_by_guardrails,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._has_active = has_active
        self._prepare = prepare
        self._sleep = sleep
        self._leadership = Leadership(journal, server=server, monotonic=monotonic, lost_after_s=lost_after_s)
        self._one_rollout = functools.partial(
            OneRollout, journal=journal, halts=halts, metrics=metrics, judge=judge, lost_after_s=lost_after_s
        )
        self._rollouts: dict[str, OneRollout] = {}
        self._turns = Turns(longest_s=lost_after_s, failing="rollouts not looked at", mended="rollouts looked at again")

    def __repr__(self) -> str:
        return f"<Controller [{self._leadership!r}, {len(self._rollouts)} rollouts]>"

    @property
    def is_controlling(self) -> bool:
        """Whether this server has the lease, as far as it knows."""
        return self._leadership.lease is not None

    async def run(self) -> NoReturn:
        """Look until it is cancelled, then give the lease back."""
        wait_s = self._interval_s
        try:
            while True:
                wait_s = self._interval_s if await self._turns.take(self.look) else min(2 * wait_s, _LONGEST_WAIT_S)
                await self._sleep(wait_s)
        finally:
            with contextlib.suppress(ServerError, TimeoutError):
                async with asyncio.timeout(_LEAVING_S):
                    await self._leave()

    async def look(self) -> None:
        """One turn: take or keep the lease, and move each rollout by a step if there is one to take.

        Raises:
            StoreUnavailable: the database cannot be reached; nothing more was done.
        """
        if not self._has_active():
            await self._leave()
            return
        await self._prepare()
        lease = await self._leadership.claim()
        if lease is None:
            self._rollouts.clear()
            return
        active = await self._journal.active()
        known = self._rollouts
        self._rollouts = {
            stored.rollout.id: known.get(stored.rollout.id) or self._one_rollout(stored) for stored in active
        }
        # Who was looked at longest ago comes first: one whose looks are never answered must not hold up all behind it.
        for stored in sorted(active, key=lambda each: self._rollouts[each.rollout.id].looked_at):
            if self._leadership.lease is None:
                break
            await self._look_at(stored, lease)

    async def _look_at(self, stored: Stored, lease: Lease) -> None:
        one = self._rollouts[stored.rollout.id]
        one.looked_at = self._monotonic()
        try:
            await one.look(stored, lease, at=self._clock(), now=one.looked_at)
            one.failures = 0
        except (StoreUnavailable, StoreFull):
            raise
        except Conflict as error:
            if error.reason == LEASE_LOST:
                self._leadership.lose()
                self._rollouts.clear()
            # Otherwise a person was faster; the next look sees what they wrote.
        except Refused as error:
            _log.info("rollout not moved", rollout=stored.rollout.id, model=stored.rollout.model, reason=error.reason)
        except Exception as error:  # noqa: BLE001 - one rollout's outermost frame: others must be looked at
            self._fail(one, error)

    def _fail(self, one: OneRollout, error: Exception) -> None:
        """Note that a rollout could not be looked at: it stays where it is."""
        one.failures += 1
        rollout = one.stored.rollout
        if one.failures == 1:
            _log.warning("rollout not judged", rollout=rollout.id, model=rollout.model, exc_info=error)
        if one.failures == LOOKS_TO_WORRY:
            _log.error("rollout not judged", rollout=rollout.id, model=rollout.model, looks=one.failures)

    async def _leave(self) -> None:
        self._rollouts.clear()
        await self._leadership.leave()
