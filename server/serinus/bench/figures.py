"""The figures of some repeats of one run as plain numbers, for tables and JSON."""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from serinus.bench.run import Run
from serinus.bench.spread import Spread

PERCENTS = (50.0, 90.0, 99.0, 99.9)


@dataclasses.dataclass(frozen=True)
class Figures:
    """What repeats of one run say; each spread has one value for each repeat, NaN where there is none.

    Attributes:
        offered_per_s: Calls due each second.
        throughput_per_s: Calls answered each second.
        goodput_per_s: Calls answered in time each second.
        latency_s: By percent, of answered calls, from when each was due.
        reject_latency_s: By percent, of the others.
        lateness_s: How late the generator was (p99).
        server_cpu_us: Processor time of the server for one call.
        server_memory_bytes: What the server held at the end.
        generator_cpu_us: Processor time of the generator for one call.
        outcomes: How often calls ended so, over all repeats; the key is a status code and the server's reason.
        batch_rows: How many calls were answered by a run of so many rows, over all repeats, where the server said.
        calls: In all repeats.
        rows: Of each call.
        void: Why the figures say nothing; "" when they do.
    """

    offered_per_s: Spread
    throughput_per_s: Spread
    goodput_per_s: Spread
    latency_s: Mapping[float, Spread]
    reject_latency_s: Mapping[float, Spread]
    lateness_s: Spread
    server_cpu_us: Spread
    server_memory_bytes: Spread
    generator_cpu_us: Spread
    outcomes: Mapping[str, int]
    batch_rows: Mapping[int, int]
    calls: int
    rows: int
    void: str

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Figures":
        """The figures of repeats; at least one."""

        def spread(figure: Callable[[Run], float]) -> Spread:
            return Spread.of(runs, figure)

        outcomes: collections.Counter[str] = collections.Counter()
        batch_rows: collections.Counter[int] = collections.Counter()
        for run in runs:
            outcomes.update({str(outcome): count for outcome, count in run.outcomes.items()})
            batch_rows.update(run.batch_rows.tolist())
        return cls(
            offered_per_s=spread(lambda run: run.offered_per_s),
            throughput_per_s=spread(lambda run: run.throughput_per_s),
            goodput_per_s=spread(lambda run: run.goodput_per_s),
            latency_s={at: Spread(tuple(run.latency_s(at) for run in runs)) for at in PERCENTS},
            reject_latency_s={at: Spread(tuple(run.reject_latency_s(at) for run in runs)) for at in PERCENTS},
            lateness_s=spread(lambda run: run.lateness_s),
            server_cpu_us=spread(lambda run: run.server_cpu_us),
            server_memory_bytes=spread(lambda run: float("nan") if run.server is None else run.server.memory_bytes),
            generator_cpu_us=spread(lambda run: run.generator_cpu_us),
            outcomes=dict(outcomes.most_common()),
            batch_rows=dict(sorted(batch_rows.items())),
            calls=sum(run.calls for run in runs),
            rows=runs[0].rows,
            void=next((run.void for run in runs if run.void), ""),
        )

    def document(self) -> dict[str, object]:
        """For JSON: a spread becomes its median, its ends and its values."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def _plain(value: object) -> object:
    match value:
        case Spread():
            return {"median": value.median, "low": value.low, "high": value.high, "repeats": list(value.values)}
        case Mapping():
            return {_key(key): _plain(item) for key, item in value.items()}
    return value


def _key(key: object) -> str:
    return f"p{key:g}" if isinstance(key, float) else str(key)
