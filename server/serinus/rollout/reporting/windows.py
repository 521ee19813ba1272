"""What this server says of the rollouts that it takes part in."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from serinus.core.errors import ServerError
from serinus.core.traffic import Traffic
from serinus.core.version import ModelVersion
from serinus.core.windows import ArmWindow, MetricWindow, PairWindow, ServerWindow
from serinus.telemetry.logs import get_logger

_log = get_logger(__name__)


class Followed(Protocol):
    """A model as this server acts by it; `registry.records.ModelRecord` is one."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def revision(self) -> int:
        """Of the model."""
        ...

    @property
    def traffic(self) -> Traffic:
        """What was decided about its calls."""
        ...


class Counted(Protocol):
    """What was counted of calls; `serving.routing.exposures.RouteWindow` is one."""

    @property
    def rollout(self) -> str:
        """Whose counts they are."""
        ...

    @property
    def segment(self) -> int:
        """Which they belong to."""
        ...

    @property
    def arms(self) -> Mapping[int, ArmWindow]:
        """By number of the version."""
        ...

    @property
    def tripped(self) -> frozenset[int]:
        """Numbers of the versions that are taken out."""
        ...


class Routes(Protocol):
    """Counts the calls that versions get; `serving.routing.routes` does."""

    def window(self, model: str) -> Counted | None:
        """What was counted in the present segment; None if nothing is."""
        ...


class Mirrors(Protocol):
    """Counts copies of calls; `serving.mirroring.mirror` does."""

    def pairs(self, rollout: str, segment: int) -> PairWindow:
        """What was counted in a segment of a rollout."""
        ...


class Models(Protocol):
    """Loads versions; `lifecycle.Models` does."""

    def serves(self, version: ModelVersion, /) -> bool:
        """Whether it could answer calls now."""
        ...

    def failure(self, identity: ModelVersion) -> ServerError | None:
        """Why it cannot be loaded; None if it serves, nobody has tried, or the next try may go better."""
        ...


class Metrics(Protocol):
    """Sums what is reported from outside; `MetricReports` does."""

    def sums(self, rollout: str) -> Mapping[str, Mapping[int, MetricWindow]]:
        """By metric and number of the version, since the rollout began."""
        ...

    def forget(self, rollout: str) -> None:
        """The rollout has ended."""
        ...


class Reports:
    """Makes what this server publishes: each window says all that is known, so that a lost one is made up for.

    Args:
        server: This one; another one after each start, because its counts begin again then.
        routes: Counts calls.
        mirrors: Counts copies of calls.
        models: Says what is loaded.
        metrics: Sums what is reported.
    """

    def __init__(self, server: str, *, routes: Routes, mirrors: Mirrors, models: Models, metrics: Metrics) -> None:
        self._server = server
        self._routes = routes
        self._mirrors = mirrors
        self._models = models
        self._metrics = metrics
        self._last: dict[str, ServerWindow] = {}

    def __repr__(self) -> str:
        return f"<Reports of {self._server} [{len(self._last)} rollouts]>"

    def windows(self, models: Collection[Followed]) -> Sequence[ServerWindow]:
        """What to publish now.

        Args:
            models: All that this server acts by; a rollout that none of them has any more has ended.
        """
        windows = [self._window(model) for model in models if model.traffic.rollout]
        for rollout in self._last.keys() - {window.rollout for window in windows}:
            self._metrics.forget(rollout)
        self._last = {window.rollout: window for window in windows}
        return windows

    def farewell(self) -> Sequence[ServerWindow]:
        """What to publish last: that this server goes away as it should."""
        return [dataclasses.replace(last, beat=last.beat + 1, has_left=True) for last in self._last.values()]

    def _window(self, model: Followed) -> ServerWindow:
        rollout, versions = model.traffic.rollout, model.traffic.versions()
        last = self._last.get(rollout) or ServerWindow(rollout, self._server, beat=0, segment=0, revision=0)
        failures = {version.number: self._models.failure(version) for version in versions}
        alive = dataclasses.replace(
            last,
            beat=last.beat + 1,
            revision=model.revision,
            ready=frozenset(version.number for version in versions if self._models.serves(version)),
            failures={number: error.message for number, error in failures.items() if error is not None},
            metrics=self._metrics.sums(rollout),
        )
        return self._with_counts(model.name, alive)

    def _with_counts(self, model: str, window: ServerWindow) -> ServerWindow:
        """The window with what was counted; with what it had before if nothing is counted, or counting is broken."""
        try:
            counted = self._routes.window(model)
            if counted is None or counted.rollout != window.rollout:
                return window
            pairs = self._mirrors.pairs(counted.rollout, counted.segment)
        except Exception as error:  # noqa: BLE001 - a server whose counting is broken still lives
            if window.beat == 1 or not window.beat % 100:
                _log.error("calls not counted", model=model, rollout=window.rollout, exc_info=error)
            return window
        return dataclasses.replace(
            window, segment=counted.segment, arms=counted.arms, tripped=counted.tripped, pairs=pairs
        )
