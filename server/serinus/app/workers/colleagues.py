"""What a worker asks its supervisor for the sake of all workers, and what it answers for itself.

asked of the supervisor   "standing", "relay", "lift", "statuses", "last_counts", "others", "log"
answered to it            "metrics", "status", "apply", "kept_out", "say", "collect", "follow", "log"
"""

import base64
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from serinus.app.workers.kept_out import KeptOut
from serinus.app.workers.log_word import LOG, obey, word_of
from serinus.app.workers.relays import LocalSources, RelayedSources
from serinus.core.errors import Draining
from serinus.lifecycle.models import Models
from serinus.registry.records import ModelRecord
from serinus.telemetry.logs import Logs, LogSwitches, get_logger
from serinus.threads import to_thread
from serinus.transport.admin.status_merging import Place
from serinus.transport.oip.kept_statistics import METHOD as STATISTICS
from serinus.transport.oip.kept_statistics import counts_of, statistics_of
from serinus.workers.control import Body, ChannelLost, ControlChannel, Handler, NotAnswered
from serinus.workers.others import FOLLOW, SAY
from serinus.workers.quarantine import Quarantined

log = get_logger("serinus.colleagues")

_HEARD_S = 10.0  # what the supervisor knows by itself
_LIFT_S = 15.0  # longer than the supervisor gives the workers
_SAID_S = 0.5  # a worker that serves answers in milliseconds, and a probe waits for a second
_FOLLOWED_S = 5.0  # beyond what the worker took that was told; a busy database is heard of by then
_MARGIN_S = 1.0  # the supervisor is asked for longer than it asks the others
_STATUSES_S = 2.0  # longer than the supervisor gives the workers, shorter than an operator waits

SaidAlone = Callable[[str, bytes], Awaitable[bytes]]
"""What this process says by itself to a method and its request."""


class Colleagues:
    """The other workers, through the supervisor.

    Args:
        channel: To the supervisor.
        models: What this worker serves.
        sources: What of it is not registered.
        kept_out: What of it must not be loaded.
        logs: Of this process.
        relay_s: What an order to all workers may take.

    Attributes:
        sources: The same models, loaded and unloaded by all workers at once.
    """

    def __init__(
        self,
        channel: ControlChannel,
        *,
        models: Models,
        sources: LocalSources,
        kept_out: KeptOut,
        logs: Logs,
        relay_s: float,
    ) -> None:
        self.sources = RelayedSources(sources, models, self._order)
        self._channel = channel
        self._models = models
        self._kept_out = kept_out
        self._logs = logs
        self._relay_s = relay_s
        self._said_alone: SaidAlone = _nothing_yet

    def answer(
        self,
        *,
        metrics: Callable[[], tuple[bytes, str]],
        status: Callable[[], bytes],
        said_alone: SaidAlone,
        more: Mapping[str, Handler],
    ) -> None:
        """Answer the supervisor from now on.

        Args:
            metrics: The exposition; called on a thread.
            status: The serialised status of this process.
            said_alone: What it says by itself to a method and its request.
            more: What else other workers may ask it, by kind.
        """

        async def say_metrics(_body: Body) -> Body:
            return await _said(metrics)

        async def say_status(_body: Body) -> Body:
            return {"pid": os.getpid(), "status": base64.b64encode(status()).decode()}

        async def say(body: Body) -> Body:
            answer = await said_alone(body["method"], base64.b64decode(body["message"]))
            said = {"answer": base64.b64encode(answer).decode()}
            return {**said, **await self._kept()} if body["method"] == STATISTICS else said

        self._said_alone = said_alone
        for kind, handler in more.items():
            self._channel.answer(kind, handler)
        self._channel.answer(SAY, say)
        self._channel.answer(LOG, self._hear_log)
        self._channel.answer("metrics", say_metrics)
        self._channel.answer("status", say_status)
        self._channel.answer("apply", self.sources.apply)
        self._channel.answer("kept_out", self._hear_kept_out)

    async def hear_standing(self) -> Sequence[Body]:
        """Learn what is kept out, before anything is loaded; gives the orders that are to be caught up with.

        Raises:
            Draining: the supervisor does not answer.
        """
        standing = await self._ask("standing", {}, timeout_s=_HEARD_S)
        self.sources.folder = Path(standing["folder"])
        self._replace_kept_out(standing)
        obey(standing, self._logs)
        return list(standing["orders"])

    async def catch_up(self) -> None:
        """Do what all others did while this worker was not there.

        To be called when everything else is loaded, and again once the supervisor knows that this worker is ready:
        orders that came in between reached only the others.

        Raises:
            Draining: the supervisor does not answer.
        """
        await self.sources.catch_up(await self.hear_standing())

    async def lift(self, model: str, version: str) -> None:
        """Have all workers try again what is kept out of a model: one version, or all for ""."""
        await self._ask("lift", {"model": model, "version": version}, timeout_s=_LIFT_S)

    async def places(self) -> Sequence[Place]:
        """All workers with what they say of themselves; none where the supervisor does not answer."""
        try:
            answer = await self._ask("statuses", {}, timeout_s=_STATUSES_S)
        except Draining:
            return ()
        return [
            Place(
                index=each["index"],
                pid=each["pid"],
                started_unix_s=each["started_unix_s"],
                restarts=each["restarts"],
                last_end=each["last_end"],
                status=None if each["status"] is None else base64.b64decode(each["status"]),
            )
            for each in answer["places"]
        ]

    async def ask_others(self, kind: str, body: Body, *, wait_s: float) -> Sequence[Body]:
        """What the other workers answer within so many seconds; nothing of those that do not."""
        return list((await self._asked({"kind": kind, "body": body, "wait_s": wait_s})).get("answers", ()))

    async def others(self, method: str, message: bytes) -> Sequence[bytes]:
        """What the others say to a method and its request; satisfies `transport.of_all_workers.Others`.

        Of statistics, also what those said last that do not answer, or are gone.
        """
        asked = {"method": method, "message": base64.b64encode(message).decode()}
        body = {"kind": SAY, "body": asked, "wait_s": _SAID_S}
        if method == STATISTICS:
            body["kept"] = await self._kept()
        said = await self._asked(body)
        answers = [base64.b64decode(each["answer"]) for each in said.get("answers", ())]
        return [*answers, statistics_of(said["missing"], message)] if "missing" in said else answers

    async def _asked(self, body: Body) -> Body:
        """What the supervisor hears of the others; nothing if it does not answer."""
        try:
            return await self._ask("others", body, timeout_s=body["wait_s"] + _MARGIN_S)
        except Draining:
            return {}

    async def _kept(self) -> Body:
        """What this process has counted, all of it, for the supervisor to keep."""
        return {"pid": os.getpid(), "counts": counts_of(await self._said_alone(STATISTICS, b""))}

    async def others_follow(self, record: ModelRecord, began: float) -> None:
        """Wait until all act by that record, as this worker does, which began at that time.

        They began when it did, and share its processors: one that takes much longer hangs, and is not waited for.
        """
        took_s = time.monotonic() - began
        body = {"model": record.name, "revision": record.revision}
        await self.ask_others(FOLLOW, body, wait_s=_FOLLOWED_S + took_s)

    async def say_logs(self, switches: LogSwitches) -> None:
        """Have all processes of the server, and those to come, write what these switches show.

        Raises:
            Draining: the supervisor does not answer.
        """
        await self._ask(LOG, word_of(switches), timeout_s=_HEARD_S)

    async def say_last(self, metrics: Callable[[], tuple[bytes, str]]) -> None:
        """Leave what was counted to the supervisor; the last thing that a worker does."""
        try:
            await self._ask("last_counts", {**await _said(metrics), **await self._kept()}, timeout_s=_HEARD_S)
        except Draining as error:
            log.warning("last counts lost", trouble=error.message)

    async def _order(self, kind: str, body: Body) -> Body:
        return await self._ask(kind, body, timeout_s=self._relay_s)

    async def _ask(self, kind: str, body: Body, *, timeout_s: float) -> Body:
        try:
            return await self._channel.request(kind, body, timeout_s=timeout_s)
        except (ChannelLost, NotAnswered, TimeoutError) as error:
            log.warning("supervisor does not answer", kind=kind, trouble=str(error) or f"silent for {timeout_s:g} s")
            raise Draining("the supervisor of this worker does not answer: expected the call again") from error

    async def _hear_log(self, body: Body) -> Body:
        obey(body, self._logs)
        return {}

    async def _hear_kept_out(self, body: Body) -> Body:
        self._replace_kept_out(body)
        return {}

    def _replace_kept_out(self, body: Body) -> None:
        self._kept_out.replace([Quarantined.of(each) for each in body["kept_out"]], self._models)


async def _nothing_yet(_method: str, _message: bytes) -> bytes:
    return b""


async def _said(metrics: Callable[[], tuple[bytes, str]]) -> Body:
    text, _ = await to_thread(metrics)
    return {"pid": os.getpid(), "text": text.decode()}
