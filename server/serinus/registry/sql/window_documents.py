"""How what a server has counted is written as JSON and read back."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from serinus.core.windows import ArmWindow, MetricWindow, PairWindow, ServerWindow
from serinus.registry.sql.documents import Document


def window_document(window: ServerWindow) -> Document:
    """`window` as JSON, without its rollout and server; numbers of versions are texts there, as JSON wants it."""
    return {
        "beat": window.beat,
        "segment": window.segment,
        "revision": window.revision,
        "ready": sorted(window.ready),
        "failures": {str(number): text for number, text in window.failures.items()},
        "arms": {str(number): _fields(arm) for number, arm in window.arms.items()},
        "pairs": _fields(window.pairs),
        "metrics": {
            name: {str(number): _fields(metric) for number, metric in by_number.items()}
            for name, by_number in window.metrics.items()
        },
        "tripped": sorted(window.tripped),
        "has_left": window.has_left,
    }


def window_of(rollout: str, server: str, document: Document) -> ServerWindow:
    """What `window_document` wrote.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it wrote no such thing.
    """
    return ServerWindow(
        rollout=rollout,
        server=server,
        beat=document["beat"],
        segment=document["segment"],
        revision=document["revision"],
        ready=frozenset(document["ready"]),
        failures={int(number): text for number, text in document["failures"].items()},
        arms={int(number): _arm_of(each) for number, each in document["arms"].items()},
        pairs=PairWindow(**document["pairs"]),
        metrics={
            name: {int(number): MetricWindow(**each) for number, each in by_number.items()}
            for name, by_number in document["metrics"].items()
        },
        tripped=frozenset(document["tripped"]),
        has_left=document["has_left"],
    )


def _fields(window: ArmWindow | PairWindow | MetricWindow) -> Mapping[str, Any]:
    return {field.name: getattr(window, field.name) for field in dataclasses.fields(window)}


def _arm_of(document: Document) -> ArmWindow:
    return ArmWindow(**{**document, "latency": tuple(document["latency"])})
