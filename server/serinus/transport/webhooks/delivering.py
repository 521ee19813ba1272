"""Tells URLs what happens to rollouts, each in the order in which it happened."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import stamina
import stamina.instrumentation

from serinus.config.errors import ConfigError
from serinus.config.sections import WebhookSettings
from serinus.core.errors import ServerError
from serinus.telemetry.logs import get_logger
from serinus.telemetry.outcome import Delivery
from serinus.transport.webhooks.post import NotDelivered, Rejected
from serinus.transport.webhooks.urls import Hook, check_url

log = get_logger("serinus.webhooks")

_PAGE: Final = 100  # entries read at once; each is a few kilobytes
_AFTER_FAULT_S = 5.0  # before the journal is asked again that could not be read
_TURN_S = 5.0  # between looks whether it is this server's turn; about as long as others take to be found dead


class Entry(Protocol):
    """Something that happened to a rollout; `registry.rollout_records.JournalEntry` is one."""

    @property
    def place(self) -> int:
        """Higher than that of every entry before, of all rollouts."""
        ...

    @property
    def rollout(self) -> str:
        """Its id."""
        ...

    @property
    def model(self) -> str:
        """Its model."""
        ...

    @property
    def number(self) -> int:
        """From 1, within the rollout."""
        ...

    @property
    def at(self) -> dt.datetime:
        """UTC."""
        ...

    @property
    def event(self) -> str:
        """What happened, a word."""
        ...

    @property
    def status(self) -> str:
        """Where the rollout stands since."""
        ...

    @property
    def reason(self) -> str:
        """Why, a sentence."""
        ...

    @property
    def numbers(self) -> Mapping[str, object]:
        """The evidence, JSON."""
        ...


class Entries(Protocol):
    """The journal of all rollouts, and how much of it each hook was told. All methods may raise ServerError."""

    async def journal_after(self, place: int, limit: int = _PAGE) -> Sequence[Entry]:
        """The first `limit` entries behind `place`, in order."""
        ...

    async def last_place(self) -> int:
        """Of the newest entry; 0 if there is none."""
        ...

    async def delivered(self, hook: str) -> int | None:
        """Place of the last entry that `hook` was told; None if it is new."""
        ...

    async def mark_delivered(self, hook: str, place: int) -> None:
        """Write down that `hook` was told everything up to `place`; ignored if it was told more."""
        ...


class Sender(Protocol):
    """Sends messages; `webhook_post.Post` does."""

    async def send(self, hook: Hook, message_id: str, body: bytes) -> None:
        """Send a message once.

        Raises:
            NotDelivered: it did not arrive.
            Rejected: the receiver does not want it.
        """
        ...


class DeliveryMetrics(Protocol):
    """What is counted about deliveries."""

    def delivered(self, outcome: Delivery) -> None:
        """A try to deliver something has ended."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between tries, in seconds: twice as long each time, and a random part."""

    first_s: float = 1.0  # a receiver that restarts is back soon
    longest_s: float = 60.0  # and one that was down over night hears of it within a minute
    jitter_s: float = 1.0  # receivers of many servers come back to a few calls at a time


class Webhooks:
    """Delivers the journal to every URL that the settings name, while this server is the one to do it.

    A URL that is new hears what happens from now on. Each has a task of its own, so that one that is down holds up
    nobody else, and is told one entry after another. An entry is told at least once: again with the same id where the
    mark was lost, or two servers took each other for dead.

    Attributes:
        settings: Which URLs.
        entries: What happened, and what was told.
        is_mine: Whether this server is the one; asked before each try.
        sender: Sends.
        metrics: What is counted.
        clock: Seconds since 1970.
        backoff: Between tries.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        entries: Entries,
        is_mine: Callable[[], bool],
        sender: Sender,
        metrics: DeliveryMetrics,
        clock: Callable[[], float] = time.time,
        backoff: Backoff | None = None,
    ) -> None:
        self._entries = entries
        self._is_mine = is_mine
        self._sender = sender
        self._metrics = metrics
        self._clock = clock
        self._give_up_s = settings.give_up_s
        self._backoff = backoff or Backoff()
        self._looks = {hook: asyncio.Event() for hook in hooks_of(settings)}
        self._places: dict[Hook, int] = {}

    def wake(self) -> None:
        """There may be something to tell: the journal has grown, or this server has become the one to do it."""
        for look in self._looks.values():
            look.set()

    async def run(self) -> None:
        """Tell, until cancelled; returns at once without URLs."""
        # Retries are announced on standard output otherwise, beside the log.
        stamina.instrumentation.set_on_retry_hooks(())
        async with asyncio.TaskGroup() as tasks:
            for hook, look in self._looks.items():
                tasks.create_task(self._follow(hook, look))

    async def _follow(self, hook: Hook, look: asyncio.Event) -> None:
        while True:
            # 1. All is told, and whoever adds to the journal wakes us. 2. It is another's turn; nobody tells us of
            # ours, because that server may die without a word. 3. Something is wrong, and may not be any more.
            wait_s = None
            try:
                await self._catch_up(hook)
                if not self._is_mine():
                    wait_s = _TURN_S
            except ServerError as error:
                log.warning("webhook waits", hook=hook.place, reason=error.reason)
                wait_s = _AFTER_FAULT_S
            except Exception:
                # A task's outermost frame: the other hooks, and the server, go on.
                log.exception("webhook failed", hook=hook.place)
                wait_s = _AFTER_FAULT_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await look.wait()
            look.clear()

    async def _catch_up(self, hook: Hook) -> None:
        if hook in self._places and not self._is_mine():
            return
        url = str(hook.url)
        told = await self._entries.delivered(url)
        if told is None:
            # Whoever is the one: what happens between a server's start and its turn is told as well.
            told = await self._entries.last_place()
            await self._entries.mark_delivered(url, told)
        # Ours may be higher, where the mark could not be written, or lower, where another server went on meanwhile.
        self._places[hook] = max(self._places.get(hook, 0), told)
        while self._is_mine() and (entries := await self._entries.journal_after(self._places[hook], _PAGE)):
            for entry in entries:
                if not await self._tell(hook, entry):
                    return
                self._places[hook] = entry.place
                await self._entries.mark_delivered(url, entry.place)

    async def _tell(self, hook: Hook, entry: Entry) -> bool:
        """Tell one entry, or drop it when its time is over; false when this server is not the one any more."""
        until = entry.at.timestamp() + self._give_up_s
        try:
            async for attempt in stamina.retry_context(
                on=NotDelivered,
                attempts=None,
                timeout=None,
                wait_initial=self._backoff.first_s,
                wait_max=self._backoff.longest_s,
                wait_jitter=self._backoff.jitter_s,
            ):
                with attempt:
                    if not self._is_mine():
                        return False
                    if self._clock() >= until:
                        self._drop(hook, entry, f"it could not be delivered for {self._give_up_s:g} s")
                        return True
                    await self._try(hook, entry, attempt.num)
        except Rejected as error:
            self._drop(hook, entry, str(error))
        return True

    async def _try(self, hook: Hook, entry: Entry, number: int) -> None:
        try:
            await self._sender.send(hook, _id(entry), body_of(entry))
        except NotDelivered as error:
            self._metrics.delivered(Delivery.FAILED)
            if number == 1:  # the others would say the same for as long as the receiver is down
                log.warning("webhook not delivered", hook=hook.place, id=_id(entry), reason=str(error))
            raise
        self._metrics.delivered(Delivery.DELIVERED)

    def _drop(self, hook: Hook, entry: Entry, why: str) -> None:
        self._metrics.delivered(Delivery.DROPPED)
        log.error("webhook dropped", hook=hook.place, id=_id(entry), reason=why)

    def __repr__(self) -> str:
        return f"<Webhooks {', '.join(hook.place for hook in self._looks)}>"


def hooks_of(settings: WebhookSettings) -> Sequence[Hook]:
    """The URLs of the settings, each once.

    Raises:
        ConfigError: nothing may be sent to some of them; one sentence each.
    """
    hooks: list[Hook] = []
    problems: list[str] = []
    for url in dict.fromkeys(settings.urls):
        try:
            hooks.append(check_url(url, settings.hosts))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return hooks


def body_of(entry: Entry) -> bytes:
    """What is sent: one JSON object."""
    document = {
        "id": _id(entry),
        "model": entry.model,
        "rollout": entry.rollout,
        "event": entry.event,
        "status": entry.status,
        "reason": entry.reason,
        "at": entry.at.isoformat(),
        "numbers": entry.numbers,
    }
    try:
        return json.dumps(document, allow_nan=False).encode()
    except ValueError:  # an infinity, which JSON has no word for: better told without numbers than not at all
        return json.dumps({**document, "numbers": {}}).encode()


def _id(entry: Entry) -> str:
    return f"{entry.rollout}:{entry.number}"
