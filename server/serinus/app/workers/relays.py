"""Models that are not registered, in a worker: what it is told about them, all workers do.

Who is told asks the supervisor, which has every worker do it in the same order, this one first: so two workers that are
told different things at once end up with the same. See `workers.relaying`.
"""

import asyncio
import enum
import secrets
import shutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from serinus.core.errors import NotLoaded, Refused, ServerError
from serinus.lifecycle.models import Models
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread
from serinus.workers.control import Body
from serinus.workers.relaying import Order

log = get_logger("serinus.relays")

Ask = Callable[[str, Body], Awaitable[Body]]
"""Asks the supervisor; raises Draining when it does not answer, because this worker goes with it."""


class _Part(enum.Enum):
    """Which part a worker has in an order: it was told, and answers for it, or it does what another one did."""

    TOLD = enum.auto()
    FOLLOWS = enum.auto()


class LocalSources(Protocol):
    """The models of this process that are not registered."""

    def __contains__(self, model: str) -> bool:
        """Whether there is one of that name."""
        ...

    async def load(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        """Read a model again and serve it."""
        ...

    async def stage(self, folder: Path, model: str, config_json: str | None, files: Mapping[str, bytes]) -> None:
        """Write what a client sent into a new folder."""
        ...

    async def load_from(self, folder: Path, model: str, config_json: str | None) -> None:
        """Serve what was staged there, once it was looked at."""
        ...

    async def load_known_from(self, folder: Path, model: str, config_json: str | None) -> None:
        """The same of what another worker has looked at."""
        ...

    async def unload(self, model: str) -> None:
        """Stop serving a model."""
        ...


class RelayedSources:
    """A `Sources` of `placing`: does with all workers what it is asked.

    Attributes:
        inner: Does it here.
        models: What serves here.
        ask: The supervisor.
        folder: Where files lie that all workers are to load; empty until the supervisor has said.
    """

    def __init__(self, inner: LocalSources, models: Models, ask: Ask) -> None:
        self.folder: Path | None = None
        self._inner = inner
        self._models = models
        self._ask = ask
        self._errors: dict[str, ServerError | None] = {}
        self._done: dict[str, int] = {}
        self._turn = asyncio.Lock()

    def __contains__(self, model: str) -> bool:
        return model in self._inner

    # What this worker is told by callers.

    async def load(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        """Have all workers read a model again and serve it.

        Raises:
            ServerError: what this worker could not do, then nobody has done it; as `ModelSources.load`.
            Refused: too many such orders are remembered.
            NotLoaded: NOT_ON_ALL_WORKERS, with what the others could not do.
        """
        folder = ""
        if files:
            assert self.folder is not None, "calls come after the start: this is a bug"
            staged = self.folder / secrets.token_hex(8)
            try:
                await self._inner.stage(staged, model, config_json, files)
            except BaseException:
                await to_thread(shutil.rmtree, staged, ignore_errors=True)
                raise
            folder = str(staged)  # the supervisor's from now on
        await self._relay("load", model, config_json, folder)

    async def unload(self, model: str) -> None:
        """Have all workers stop serving a model."""
        await self._relay("unload", model, None, "")

    async def _relay(self, action: str, model: str, config: str | None, folder: str) -> None:
        token = secrets.token_hex(8)
        self._errors[token] = None
        order = {"action": action, "model": model, "config": config, "folder": folder, "token": token}
        try:
            answer = await self._ask("relay", order)
            error = self._errors[token]
        finally:
            del self._errors[token]
        if error is not None:
            raise error
        if failed := answer.get("failed"):
            raise Refused(str(failed), reason="NOT_RELAYED", field="model")
        if missing := answer.get("missing"):
            why = "; ".join(f"worker {index}: {sentence}" for index, sentence in sorted(missing.items()))
            raise NotLoaded(
                f"{action} of model {model!r} was done by this worker and not by all ({why}): try it again",
                reason="NOT_ON_ALL_WORKERS",
                field="model",
            )

    # What it is told by the supervisor.

    async def apply(self, body: Body) -> Body:
        """Do what a worker was told, perhaps this one."""
        token = body.get("token")
        try:
            await self._do(Order.of(body), _Part.FOLLOWS if token is None else _Part.TOLD)
        except ServerError as error:
            if token in self._errors:
                self._errors[token] = error
            raise
        return {}

    async def catch_up(self, orders: Iterable[Body]) -> None:
        """Do what all others did before this worker was there; what it cannot do is in the log."""
        for order in map(Order.of, orders):
            try:
                await self._do(order, _Part.FOLLOWS)
            except ServerError as error:
                log.warning("order not done", action=order.action, model=order.model, trouble=error.message)

    async def _do(self, order: Order, part: _Part) -> None:
        async with self._turn:
            if self._done.get(order.model, 0) >= order.number:
                return
            self._done[order.model] = order.number
            await self._act(order, part)

    async def _act(self, order: Order, part: _Part) -> None:
        if order.action == "unload":
            if part is _Part.TOLD or self._models.serving(order.model):
                await self._inner.unload(order.model)
        elif not order.folder:
            await self._inner.load(order.model, order.config, {})
        elif part is _Part.TOLD:
            await self._inner.load_from(Path(order.folder), order.model, order.config)
        else:
            await self._inner.load_known_from(Path(order.folder), order.model, order.config)
