"""One version that calls are routed to: asks it, and notes at the version itself what became of the call.

What is noted here is seen whoever answers in the end, so that a fallback never hides a failure.
"""

import dataclasses
from collections.abc import Callable
from typing import Final, Protocol

from serinus.core.predictor import Predictor, Request, Response
from serinus.core.traffic import Trigger
from serinus.core.version import ModelVersion
from serinus.serving.failures import Failure, failure_of
from serinus.serving.output_checks import OutputCheck
from serinus.serving.routing.exposures import ArmCounts
from serinus.serving.routing.gates import Gate

UNNOTED: Final = -1
"""The turn of a call that no breaker let through: its end moves none."""


class Complaints(Protocol):
    """Where a part that only watches reports that it is broken."""

    def broken(self, part: str, error: Exception) -> None:
        """`part`, a word, raised; the call that it watched goes on."""
        ...


@dataclasses.dataclass(slots=True)
class Attempt:
    """How asking a version ended.

    Attributes:
        response: Its answer; None if there is none.
        error: What it raised instead.
        trigger: Why another should answer; None if nobody should.
    """

    response: Response | None
    error: Exception | None = None
    trigger: Trigger | None = None

    def result(self) -> Response:
        """The answer; raises the error where there is none."""
        if self.error is not None:
            raise self.error
        assert self.response is not None, "an attempt ends with an answer or an error: this is a bug"
        return self.response


class Arm:
    """One version that the calls of a model are routed to.

    Attributes:
        version: Which. Number 0 is no version: a call named none, and nothing serves that it could mean.
        selector: How `inner` is told; "" leaves it to say why nothing serves.
        counts: Of calls that it gets by weight; None if nobody counts.
        gate: Its breaker; None if it is never taken out.
    """

    __slots__ = ("_check", "_clock", "_complaints", "_fair_s", "_inner", "counts", "gate", "selector", "version")

    def __init__(
        self,
        inner: Predictor,
        version: ModelVersion,
        *,
        gate: Gate | None,
        counts: ArmCounts | None,
        check: OutputCheck,
        fair_s: float,
        clock: Callable[[], float],
        complaints: Complaints,
    ) -> None:
        self._inner = inner
        self.version = version
        self.selector = version.number_text if version.number else ""
        self.gate = gate
        self.counts = counts
        self._check = check
        self._fair_s = fair_s
        self._clock = clock
        self._complaints = complaints

    def admit(self) -> int | None:
        """The turn in which a call is let through, for `ask`; None if the breaker lets none through."""
        return UNNOTED if self.gate is None else self.gate.admit()

    async def ask(self, request: Request, *, turn: int, counts: ArmCounts | None) -> Attempt:
        """Ask the version; `request.version` is its selector.

        Args:
            request: What to ask.
            turn: What `admit` has returned, right before.
            counts: Where the call is counted; None if it is not one of those that the judge sees.
        """
        started = self._clock()
        is_trial = counts is not None and counts.is_trial(request.routing_key, started)
        try:
            response = await self._inner.predict(request)
        except Exception as error:  # noqa: BLE001 - whoever asks decides whether it is raised
            failure = failure_of(error)
            self._note_failure(failure, request, started, turn, counts, is_trial=is_trial)
            return Attempt(None, error, None if failure is None else failure.trigger)
        except BaseException:
            self._note_departure(request, started, turn, counts, is_trial=is_trial)
            raise
        is_invalid = False
        now = self._clock()
        try:
            is_invalid = self._check.is_invalid(response)
            self._note_answer(now, now - started, turn, counts, is_trial=is_trial, is_invalid=is_invalid)
        except Exception as error:  # noqa: BLE001 - what watches a call never fails it
            self._complaints.broken("counting", error)
        return Attempt(response, None, Trigger.INVALID if is_invalid else None)

    def disproved(self, turn: int) -> None:
        """Another has answered well what this version, in `turn`, answered with what cannot be meant.

        Only then does the breaker hear of it: there are calls that every version of a model answers with NaN.
        """
        if self.gate is not None:
            self.gate.failed(self._clock(), turn)

    def _note_answer(
        self, now: float, seconds: float, turn: int, counts: ArmCounts | None, *, is_trial: bool, is_invalid: bool
    ) -> None:
        if counts is not None:
            note = counts.answered_badly if is_invalid else counts.answered
            note(seconds, is_trial=is_trial)
        if self.gate is not None:
            if is_invalid:
                self.gate.released(turn)  # until somebody has shown that the call has a better answer
            else:
                self.gate.answered(now, turn)

    def _note_failure(
        self,
        failure: Failure | None,
        request: Request,
        started: float,
        turn: int,
        counts: ArmCounts | None,
        *,
        is_trial: bool,
    ) -> None:
        now = self._clock()
        # What was over when it came was never the version's to answer.
        is_versions = failure is not None and failure.is_versions and started < request.deadline
        is_timeout = failure is not None and failure.trigger is Trigger.TIMEOUT
        try:
            if is_versions and counts is not None:
                counts.failed(now - started, is_trial=is_trial)
            if self.gate is None:
                return
            # A caller in too much of a hurry must not take a version away from the others.
            if is_versions and not (is_timeout and request.deadline - started < self._fair_s):
                self.gate.failed(now, turn)
            else:
                self.gate.released(turn)
        except Exception as error:  # noqa: BLE001 - as above
            self._complaints.broken("counting", error)

    def _note_departure(
        self, request: Request, started: float, turn: int, counts: ArmCounts | None, *, is_trial: bool
    ) -> None:
        """The call was cancelled: at its deadline by gRPC, which is a time-out, or by its caller."""
        if self._clock() >= request.deadline:
            failure = Failure(Trigger.TIMEOUT, is_versions=True)
            self._note_failure(failure, request, started, turn, counts, is_trial=is_trial)
        elif self.gate is not None:
            self.gate.released(turn)

    def __repr__(self) -> str:
        return f"<Arm {self.version}>"
