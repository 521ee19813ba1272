"""The text that `/metrics` answers with.

prometheus_client writes that format too, but announces every counter under a name that ends in `_total`; samples of
Triton's counters, whose names do not, would then have no type, and agents that go by the type would drop them.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.utils import floatToGoString

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_TYPES = {"info": "gauge", "stateset": "gauge", "gaugehistogram": "histogram", "unknown": "untyped"}
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


def exposition(registry: CollectorRegistry) -> tuple[bytes, str]:
    """Everything in the registry as text, and the content type of that text. May run on any thread."""
    return text_of(registry.collect()).encode(), CONTENT_TYPE


def text_of(families: Iterable[Metric]) -> str:
    """The families as text; those without samples are left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines.extend(_family(family))
    lines.append("")
    return "\n".join(lines)


def _family(family: Metric) -> Iterable[str]:
    name = family.name
    if family.type == "info" or (family.type == "counter" and all(sample.name != name for sample in family.samples)):
        name += "_info" if family.type == "info" else "_total"
    yield f"# HELP {name} {family.documentation.translate(_IN_HELP)}"
    yield f"# TYPE {name} {_TYPES.get(family.type, family.type)}"
    for sample in family.samples:
        value = floatToGoString(sample.value)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
        yield f"{sample.name}{_labels(sample.labels)} {value}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{value.translate(_IN_LABEL)}"' for key, value in sorted(labels.items())) + "}"
