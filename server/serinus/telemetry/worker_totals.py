"""What all workers have counted, those included that are gone: no counter falls because a process ended."""

from collections.abc import Collection, Sequence

from serinus.telemetry.merging import Families, merged, only_counters, versions_in, without_models

_RESIDENT = "process_resident_memory_bytes"


class WorkerTotals:
    """Adds up what processes said last. A process is seen any number of times, then gone.

    What a process counted after it was last seen is lost with it. Of those that live and do not answer, counters stay
    as they were, and gauges are left out.
    """

    def __init__(self) -> None:
        self._living: dict[int, Families] = {}
        self._gone: Families = {}

    def __repr__(self) -> str:
        return f"<WorkerTotals [{len(self._living)} processes]>"

    def seen(self, process: int, said: Families) -> None:
        """A process says this now; what it says is not changed any more."""
        self._living[process] = said

    def gone(self, process: int) -> None:
        """A process has ended; it may never have been seen."""
        if (last := self._living.pop(process, None)) is not None:
            self._gone = merged((self._gone, only_counters(last)))

    def resident_bytes(self, process: int) -> float | None:
        """Memory that a process said it takes; None if it said nothing."""
        family = self._living.get(process, {}).get(_RESIDENT)
        return None if family is None else family.series.get(_RESIDENT)

    def forget_unloaded(self) -> None:
        """Drop what those that are gone counted of versions that nobody has loaded any more.

        To be called while every process is there and has just been seen with all its models: a version that is yet to
        be loaded would be forgotten as well.
        """
        loaded = versions_in(family for families in self._living.values() for family in families.values())
        self._gone = {name: without_models(family, but=loaded) for name, family in self._gone.items()}

    def parts(self, answering: Collection[int]) -> Sequence[Families]:
        """What `merging.merged` makes the whole of, on whatever thread.

        Args:
            answering: Processes that have just been seen; gauges are theirs alone.
        """
        living = (
            families if process in answering else only_counters(families) for process, families in self._living.items()
        )
        return (*living, self._gone)
