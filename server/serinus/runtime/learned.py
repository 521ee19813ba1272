"""What is known of one model's runs: what they cost on one thread and on many, and which are surely short."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from serinus.core.dtypes import DType
from serinus.core.run_costs import BestPoint, CostPoint
from serinus.core.signature import Signature
from serinus.runtime.costs import CostModel, LengthCosts, QuickRuns, costs_from, document_of

VERSION: Final = 1

RunCosts = CostModel | LengthCosts
"""By rows alone where calls choose no lengths."""

Observe = Callable[[int, float, int], None]
"""Learns from a run of so many rows, that took so many seconds, of such a padded length."""

NOTHING: Final[Mapping[str, Any]] = {}


class Learned:
    """What is known of a model's runs, and where the next one should be.

    Attributes:
        narrow: What runs cost, on as many threads as the operator says.
        wide: What they cost on more, of runs that have the machine to themselves.
        has_lengths: Calls choose lengths, which decide with the rows how long a run takes.
        is_restored: Something was known before the model was loaded.
    """

    def __init__(self, signature: Signature, *, quick_s: float, kept: Mapping[str, Any] = NOTHING) -> None:
        self.has_lengths = bool(signature.open_axes)
        self.narrow: RunCosts = LengthCosts() if self.has_lengths else CostModel()
        self.wide: RunCosts = LengthCosts() if self.has_lengths else CostModel()
        self.is_restored = False
        self._quick_s = quick_s
        # Where other things than rows decide, quick is only what was seen to be; where nobody can see them, nothing.
        self._quick = QuickRuns(quick_s) if self.has_lengths and _length_tells_cost(signature) else None
        self._rows_tell_cost = not self.has_lengths and _is_fixed(signature)
        for name, costs in (("narrow", self.narrow), ("wide", self.wide)):
            if name in kept and costs_from(kept[name], costs):
                self.is_restored = True

    def is_quick(self, rows: int, length: int) -> bool:
        """Whether a run is over sooner than another thread could take it on."""
        if self._rows_tell_cost:
            return 0.0 < self.narrow.predict_s(rows) <= self._quick_s
        return self._quick is not None and self._quick.is_quick(rows, length)

    def observe(self, rows: int, seconds: float, length: int) -> None:
        """Learn from a run on the usual number of threads."""
        self.narrow.observe(rows, seconds, length)
        if self._quick is not None:
            self._quick.observe(rows, seconds, length)

    def points(self, threads: int, lone_threads: int) -> Iterator[CostPoint]:
        """What was measured, by threads, length and rows."""
        for costs, each in ((self.narrow, threads), (self.wide, lone_threads)):
            for known in costs.known():
                yield CostPoint(round(known.rows), round(known.length), each, known.seconds, known.runs)

    def bests(self) -> tuple[BestPoint, ...]:
        """Where rows a second stop improving, by length."""
        return tuple(self.narrow.bests())

    def document(self) -> dict[str, Any]:
        """All of it, fit for JSON; empty while nothing is known."""
        found = {name: document_of(costs) for name, costs in (("narrow", self.narrow), ("wide", self.wide))}
        known = {name: document for name, document in found.items() if document["points"]}
        return {"version": VERSION, **known} if known else {}


def checked(document: object) -> Mapping[str, Any]:
    """What `Learned.document` said, or {}, fit to be taken over.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(document, Mapping) and not document:
        return NOTHING
    known = {"version", "narrow", "wide"}
    if not isinstance(document, Mapping) or document.get("version") != VERSION or not document.keys() <= known:
        raise ValueError(f"costs: expected narrow and wide in a document of version {VERSION}")
    for name in document.keys() - {"version"}:
        costs_from(document[name], CostModel())
    return document


def runs_in(document: Mapping[str, Any]) -> int:
    """How many runs are behind what `Learned.document` said; 0 for what it did not say."""
    parts = (document.get(name) for name in ("narrow", "wide"))
    try:
        return sum(int(runs) for part in parts if part is not None for *_, runs in part["points"])
    except (TypeError, ValueError, KeyError):
        return 0


def _is_fixed(signature: Signature) -> bool:
    """Whether rows alone decide how much there is to compute."""
    return all(
        spec.dtype is not DType.BYTES
        and all(isinstance(dim, int) or axis == spec.batch_axis for axis, dim in enumerate(spec.shape))
        for spec in (*signature.inputs, *signature.outputs)
    )


def _length_tells_cost(signature: Signature) -> bool:
    """Whether rows and one length decide: all axes that calls choose have the same name, and no text hides its own."""
    specs = (*signature.inputs, *signature.outputs)
    names = {
        dim for spec in specs for axis, dim in enumerate(spec.shape) if isinstance(dim, str) and axis != spec.batch_axis
    }
    return len(names) == 1 and all(spec.dtype is not DType.BYTES for spec in specs)
