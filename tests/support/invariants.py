"""What must hold after every fault, whatever it was.

I1 the same process serves; I2 a golden request is answered with the same bytes; I3 the event loop was never late by
100 ms, and memory, files, threads and tasks are back where they were; I4 what the server counted is what its callers
saw; I6 neighbours noticed nothing; I7 no caller reads a path, a traceback or a secret; I8 no metric series was born.
"""

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from tests.support.running_clock import RunningClock, running_clock
from tests.support.server import Look, WatchedServer

SECRET = "s3cr3t"
"""Part of the path of everything that the server reads; whoever echoes a path echoes this."""

MOST_LAG_S = 0.1
_LEAK = re.compile(
    rf"{SECRET}|Traceback|File \"|site-packages|\.py\b|\.cc\b|onnxruntime[/:]|0x[0-9a-f]{{6,}}|/(tmp|home|usr|work)/"
)
_SETTLE_S = 30  # a machine whose cores are all busy; the catalogue allows 60
_POLL_S = 0.02
_PAUSE_S = 0.01
# Fragments of what large messages needed cannot be given back; what each of them loses shows in a suite of faults.
_RSS_SLACK_BYTES = 32 << 20
# grpc core's pool of threads grows under load and shrinks a good while later.
_THREAD_SLACK = 8
_FD_SLACK = 3  # one more connection of the database's pool: its file, the log and the index beside it


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended.

    Attributes:
        code: Its status.
        message: Of the status.
        details: The status as `grpc-status-details-bin` carries it.
        trailers: All of them.
        content: The serialised answer, or b"".
    """

    code: grpc.StatusCode
    message: str = ""
    details: status_pb2.Status = dataclasses.field(default_factory=status_pb2.Status)
    trailers: tuple[tuple[str, str | bytes], ...] = ()
    content: bytes = b""

    def detail(self, kind: Any) -> Any:
        """The detail of a message type, or None."""
        for packed in self.details.details:
            found = kind()
            if packed.Unpack(found):
                return found
        return None


@dataclasses.dataclass
class Tally:
    """How many calls ended how, as their callers saw it.

    Attributes:
        ok: Answered.
        failed: Refused or failed by the server.
        unsure: Ended by the caller's own clock or cancellation: the server may have counted them either way, or not at
            all if they never arrived.
    """

    ok: int = 0
    failed: int = 0
    unsure: int = 0


class Scrape:
    """What /metrics says.

    Attributes:
        values: Value by series, as it is written: `name{label="value",...}`.
    """

    def __init__(self, text: str) -> None:
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        self.values = {series: float(value) for series, _, value in lines}

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of a name that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            value
            for series, value in self.values.items()
            if series.partition("{")[0] == name and all(label in series for label in wanted)
        )

    def rise(self, before: "Scrape", name: str, **labels: str) -> int:
        """By how much that sum is more than it was."""
        return int(self.total(name, **labels) - before.total(name, **labels))


async def scrape(http_port: int) -> Scrape:
    """What /metrics of a server says now; a leak in it is an AssertionError."""
    # By hand: making an HTTP client takes longer than everything else that a test does.
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    head, _, text = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert " 200 OK" in head, head
    leak = _LEAK.search(text)
    assert leak is None, f"I7: a metric says {leak}"
    return Scrape(text)


class World:
    """One server and the callers that watch it.

    Attributes:
        server: The server.
        channel: Of the caller that injects faults.
        tally: How its calls, and its neighbours', ended.
    """

    def __init__(
        self,
        server: WatchedServer,
        *,
        channel: grpc.aio.Channel,
        neighbour: grpc.aio.Channel,
        golden: tuple[str, bytes],
    ) -> None:
        self.server = server
        self.channel = channel
        self.tally = Tally()
        self._neighbour = neighbour
        self._golden = golden
        self._golden_answer = b""

    async def call(
        self, method: str, message: bytes, *, timeout_s: float | None = 30, is_counted: bool = True, **options: Any
    ) -> Answer:
        """Make a unary call with any bytes whatever; leaks in its status are an AssertionError.

        Args:
            method: "/package.Service/Method".
            message: The request as it goes over the wire.
            timeout_s: The gRPC deadline.
            is_counted: Whether the server counts it: an inference call that reaches a handler.
            options: Of the call, such as `metadata`.
        """
        answer = await _answer(self.channel, method, message, timeout=timeout_s, **options)
        if is_counted:
            self.count(answer.code)
        return answer

    def count(self, code: grpc.StatusCode, calls: int = 1) -> None:
        """Calls ended with `code`, as seen by a caller."""
        if code is grpc.StatusCode.OK:
            self.tally.ok += calls
        elif code in {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}:
            self.tally.unsure += calls
        else:
            self.tally.failed += calls

    async def scrape(self) -> Scrape:
        """What /metrics says now."""
        return await scrape(self.server.http_port)

    async def until(self, name: str, wanted: float, **labels: str) -> None:
        """Wait until a metric has a value, at most 30 s."""
        async with asyncio.timeout(_SETTLE_S):
            while (await self.scrape()).total(name, **labels) != wanted:
                await _pause(_POLL_S)

    async def ask_golden(self) -> None:
        """I2: the golden request is answered as it always was."""
        method, message = self._golden
        answer = await _answer(self._neighbour, method, message, timeout=30)
        self.count(answer.code)
        assert answer.code is grpc.StatusCode.OK, answer
        self._golden_answer = self._golden_answer or answer.content
        assert answer.content == self._golden_answer, "I2: the golden answer changed"

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator["World"]:
        """Inject a fault in the block; afterwards everything stands as it stood."""
        self.tally = Tally()
        await self.ask_golden()
        before, scraped = await self.server.look(), await self.scrape()
        self.tally = Tally()
        over = asyncio.Event()
        clock = running_clock()
        neighbour = asyncio.create_task(self._be_a_neighbour(over))
        try:
            yield self
        finally:
            over.set()
            await asyncio.wait((neighbour,))
        neighbour.result()
        await self.ask_golden()
        after = await self.server.look()
        assert after.pid == before.pid, "I1: another process serves"
        check_lags(after, clock)
        self._compare(scraped, await self._settle(before))

    async def _be_a_neighbour(self, over: asyncio.Event) -> None:
        """I6: call all the while, and never see an error or another answer."""
        while not over.is_set():
            await self.ask_golden()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _PAUSE_S)

    async def _settle(self, before: Look) -> Scrape:
        """I3: wait until the server holds no more than before; what its metrics say then."""
        most = dataclasses.replace(
            before,
            rss_bytes=int(before.rss_bytes * 1.05) + _RSS_SLACK_BYTES,
            fds=int(before.fds * 1.05) + _FD_SLACK,
            threads=before.threads + _THREAD_SLACK,
        )
        found: Sequence[str] = ("never looked",)
        try:
            async with asyncio.timeout(_SETTLE_S):
                while True:
                    now, scraped = await self.server.look(), await self.scrape()
                    found = _too_much(now, most, scraped)
                    if not found:
                        return scraped
                    await _pause(_POLL_S)
        except TimeoutError:
            raise AssertionError(f"I3: not back within {_SETTLE_S} s: {found}") from None

    def _compare(self, before: Scrape, after: Scrape) -> None:
        tally = self.tally
        answered = after.rise(before, "serinus_requests_total", outcome="answered")
        ended = after.rise(before, "serinus_requests_total")
        refused = ended - answered + after.rise(before, "serinus_refused_total")
        assert tally.ok <= answered <= tally.ok + tally.unsure, f"I4: {answered} answered, callers saw {tally}"
        assert tally.failed <= refused <= tally.failed + tally.unsure, f"I4: {refused} refused, callers saw {tally}"
        assert answered + refused <= tally.ok + tally.failed + tally.unsure, f"I4: more counted than made: {tally}"
        assert after.values.keys() == before.values.keys(), f"I8: {after.values.keys() ^ before.values.keys()}"


def _too_much(now: Look, most: Look, scraped: Scrape) -> list[str]:
    """What the server still holds beyond `most`."""
    found = [
        f"{name}: {getattr(now, name)}, expected at most {getattr(most, name)}"
        for name in ("rss_bytes", "fds", "threads", "tasks")
        if getattr(now, name) > getattr(most, name)
    ]
    gauges = ("serinus_bytes_in_flight", "serinus_queue_calls", "serinus_queue_rows")
    return found + [f"{name}: {scraped.total(name)}" for name in gauges if scraped.total(name)]


def check_lags(look: Look, clock: RunningClock) -> None:
    """I3: the event loop was never held.

    What its process waited for a core is not its own fault, nor are moments in which the machine stood still by that
    clock; both are often the same.
    """
    lag_s = max((lag.late_s - max(lag.waited_s, clock.stood_s(lag.began, lag.ended)) for lag in look.lags), default=0.0)
    assert lag_s < MOST_LAG_S, f"I3: the event loop was {lag_s:.3f} s late"


async def _pause(seconds: float) -> None:
    """Leave the server alone between two looks at it; what is waited for is the condition, not the time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def _answer(channel: grpc.aio.Channel, method: str, message: bytes, **options: Any) -> Answer:
    call = channel.unary_unary(method)(message, **options)
    try:
        content = await call
    except grpc.aio.AioRpcError as error:
        answer = failure(error)
        assert_no_leak(answer)
        return answer
    return Answer(grpc.StatusCode.OK, content=content)


def failure(error: grpc.aio.AioRpcError) -> Answer:
    """How a call ended that failed."""
    trailers = tuple((str(key), value) for key, value in error.trailing_metadata())
    details = status_pb2.Status.FromString(
        b"".join(value for key, value in trailers if key == "grpc-status-details-bin")
    )
    return Answer(error.code(), error.details() or "", details, trailers)


def assert_no_leak(answer: Answer) -> None:
    """I7: no path, traceback or secret in what a caller reads."""
    said = f"{answer.message}\n{answer.details}\n{answer.trailers}"
    leak = _LEAK.search(said)
    assert leak is None, f"I7: a caller reads {leak} in {said}"


def assert_refused(answer: Answer, code: grpc.StatusCode, reason: str, *words: str, field: str | None = None) -> None:
    """A refusal has the right status, and the shape that every status has.

    Args:
        answer: How the call ended.
        code: The expected status.
        reason: The expected UPPER_SNAKE word.
        words: Parts of the expected sentence.
        field: The input at fault, when one is.
    """
    assert answer.code is code, answer
    assert answer.message.startswith(f"{reason}: "), answer.message
    assert all(word in answer.message for word in words), f"{words} in {answer.message}"
    assert len(answer.message) <= 512
    assert answer.message.isascii()
    assert answer.message.isprintable()
    assert (answer.details.code, answer.details.message) == (code.value[0], answer.message)
    assert answer.detail(error_details_pb2.ErrorInfo) == error_details_pb2.ErrorInfo(reason=reason, domain="serinus")
    if field is not None:
        violations = answer.detail(error_details_pb2.BadRequest).field_violations
        assert [(each.field, each.description) for each in violations] == [(field, answer.message)]
    pushback = dict(answer.trailers).get("grpc-retry-pushback-ms")
    retry = answer.detail(error_details_pb2.RetryInfo)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        assert pushback is not None, "a caller that may come back hears when"
        assert retry.retry_delay.ToMilliseconds() == int(pushback) > 0
    else:
        assert (pushback, retry) == (None, None)
