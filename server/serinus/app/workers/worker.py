"""A worker: the server of one place, told by its supervisor what to serve and when to go."""

import asyncio
import contextlib
import random
import signal

from serinus.app.refusals import StartRefused, refusal_in
from serinus.app.running import RunningServer
from serinus.app.server import running_server
from serinus.config.settings import Settings
from serinus.core.errors import Draining
from serinus.telemetry.logs import Logs, get_logger
from serinus.workers.control import Body, ChannelLost, NotAnswered
from serinus.workers.seat import Seat

log = get_logger("serinus.worker")

_HEARD_S = 30.0  # a supervisor does nothing that takes longer


async def told_settings(seat: Seat) -> Settings:
    """What the supervisor wants served."""
    return Settings.model_validate(await seat.channel.request("settings", {}, timeout_s=_HEARD_S))


async def work(seat: Seat, settings: Settings, logs: Logs) -> int:
    """Serve until the supervisor says to leave, or is gone, or SIGTERM comes; then answer what is in flight.

    Returns:
        What to exit with: 1 if it could not start, which the supervisor has been told.
    """
    departure = _Departure()
    seat.channel.answer("leave", departure.heard)
    seat.channel.answer("alive", _alive)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, departure.begin)
    watching = asyncio.create_task(_leave_when_lost(seat, departure))
    try:
        await _serve(seat, settings, logs, departure)
    except asyncio.CancelledError:
        if not departure.has_begun:
            raise
    except (ChannelLost, TimeoutError) as error:
        log.warning("supervisor gone", trouble=str(error))
        return 1
    except (StartRefused, BaseExceptionGroup) as error:
        if (refused := refusal_in(error)) is None:
            raise
        with contextlib.suppress(ChannelLost, NotAnswered, TimeoutError):
            await seat.channel.request("refused", {"sentence": str(refused)}, timeout_s=_HEARD_S)
        return 1
    finally:
        watching.cancel()
    return 0


async def _alive(_body: Body) -> Body:
    """That it answers is the answer."""
    return {}


class _Departure:
    """Starting → serving → leaving; a start that nobody wants any more is cancelled, and need not finish.

    Attributes:
        has_begun: Whether the worker is to leave.
        others_stay: Whether somebody else serves on the port meanwhile.
        leaving: Set then, if it serves.
    """

    def __init__(self) -> None:
        self.has_begun = False
        self.others_stay = False
        self.leaving: asyncio.Event | None = None
        serving = asyncio.current_task()
        assert serving is not None, "this is a bug: a coroutine that runs is in a task"
        self._serving = serving

    def begin(self) -> None:
        """Leave; once is enough."""
        if self.has_begun:
            return
        self.has_begun = True
        if self.leaving is None:
            self._serving.cancel()
        else:
            self.leaving.set()

    async def heard(self, body: Body) -> Body:
        """The supervisor says so, and whether to all."""
        self.others_stay = body.get("others_stay") is True
        self.begin()
        return {}


async def _leave_when_lost(seat: Seat, departure: _Departure) -> None:
    await seat.channel.lost.wait()
    departure.begin()


async def _serve(seat: Seat, settings: Settings, logs: Logs, departure: _Departure) -> None:
    async with running_server(settings, logs=logs, rng=random.SystemRandom(), seat=seat) as server:
        departure.leaving = server.told_to_leave
        await seat.channel.request("ready", _announced(server), timeout_s=_HEARD_S)
        if server.colleagues is not None:
            # Orders that came since the last look reached only those that were ready. Who is gone was heard of already.
            with contextlib.suppress(Draining):
                await server.colleagues.catch_up()
        await server.told_to_leave.wait()
        if not departure.has_begun:
            # An operator has said so over the wire, of the whole server.
            with contextlib.suppress(ChannelLost, NotAnswered, TimeoutError):
                await seat.channel.request("leave", {}, timeout_s=_HEARD_S)
        await (server.make_way() if departure.others_stay else server.drain())


def _announced(server: RunningServer) -> Body:
    served = [served.identity for served in server.models.serving()]
    return {"models": [[each.model, each.version_text] for each in served]}
