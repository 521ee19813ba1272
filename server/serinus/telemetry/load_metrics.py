"""What is counted about versions that come into memory and go."""

from serinus.telemetry.histogram import Histogram


class LoadMetrics:
    """The counters of all loads together, written by the event loop alone and readable by any thread.

    Attributes:
        load: Time of loads that succeeded, waiting for their turn included.
        failed_loads: Loads that ended without a version, but for those that were given up.
        evictions: Versions that were unloaded to make room for others.
    """

    def __init__(self) -> None:
        self.load = Histogram()
        self.failed_loads = 0
        self.evictions = 0

    def loaded(self, seconds: float) -> None:
        """A version was loaded."""
        self.load.observe(seconds)

    def failed(self) -> None:
        """A version could not be loaded."""
        self.failed_loads += 1

    def evicted(self) -> None:
        """A version was unloaded to make room."""
        self.evictions += 1

    def __repr__(self) -> str:
        return f"<LoadMetrics [{self.load.count} loaded, {self.failed_loads} failed, {self.evictions} evicted]>"
