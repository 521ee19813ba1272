"""Streams rollouts to those who watch: each message is the whole rollout, so a slow reader may skip some."""

from collections.abc import AsyncGenerator
from typing import Final

from serinus.config.rollout_spec import dump_rollout_spec
from serinus.core.errors import Overloaded
from serinus.threads import to_thread
from serinus.transport.iterators import closing
from serinus.transport.rollouts.messages import view_message
from serinus.transport.rollouts.ports import Rollouts
from serinus.transport.rollouts.requests import id_or_model
from serinus_api.v1 import admin_pb2 as pb

MOST_WATCHERS: Final = 256
"""Of one server; each is sent the whole rollout every second, a millisecond of the event loop for ten of them."""

_BUSY_S = 5.0  # people come and go


class RolloutWatches:
    """The watches of one server."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._rollouts = rollouts
        self._watchers = 0

    async def watch(self, asked: pb.WatchRolloutRequest) -> AsyncGenerator[pb.WatchRolloutResponse]:
        """The rollout as it is, then as it becomes; ends with its end.

        Raises:
            Overloaded: too many watch.
        """
        rollout, model = id_or_model(asked)
        if self._watchers >= MOST_WATCHERS:
            raise Overloaded(
                f"{self._watchers} watch rollouts, the limit is {MOST_WATCHERS}",
                retry_after_s=_BUSY_S,
                reason="TOO_MANY_WATCHERS",
            )
        self._watchers += 1
        try:
            if not rollout:
                rollout = (await self._rollouts.newest(model)).stored.rollout.id
            spec_yaml = ""
            async with closing(self._rollouts.watch(rollout)) as views:
                async for view in views:
                    # Once: a plan does not change, and takes milliseconds to write.
                    spec_yaml = spec_yaml or await to_thread(dump_rollout_spec, view.stored.rollout.spec)
                    yield pb.WatchRolloutResponse(rollout=view_message(view, spec_yaml))
        finally:
            self._watchers -= 1
