"""Which versions a list asks for, and where its next page begins."""

from collections.abc import Callable
from typing import Final

from serinus.core.errors import InvalidInput
from serinus.core.selector import VersionRange
from serinus.registry.records import MetricBound, VersionFilter, VersionRecord, VersionState

LAST_NUMBER: Final = 2**31 - 1  # what the column of numbers can hold


def wanted_by(wanted: VersionFilter) -> Callable[[VersionRecord], bool]:
    """Whether a version satisfies all that `wanted` says.

    Raises:
        InvalidInput: its range is no range.
    """
    allowed = VersionRange.parse(wanted.range) if wanted.range else None
    framework = wanted.framework.casefold()

    def is_wanted(record: VersionRecord) -> bool:
        return (
            (wanted.has_archived or record.state is VersionState.ACTIVE)
            and (allowed is None or record.identity.version in allowed)
            and all(record.tags.get(name) == text for name, text in wanted.tags.items())
            and record.facts.framework.casefold().startswith(framework)
            and all(_is_within(record.facts.metrics.get(bound.name), bound) for bound in wanted.metrics)
        )

    return is_wanted


def _is_within(metric: float | None, bound: MetricBound) -> bool:
    return (
        metric is not None
        and (bound.at_least is None or metric >= bound.at_least)
        and (bound.at_most is None or metric <= bound.at_most)
    )


def token_behind(record: VersionRecord) -> str:
    """The page token of the versions that follow `record`, newest number first."""
    return record.identity.number_text


def number_before(page_token: str) -> int:
    """The number below which a page begins.

    Raises:
        InvalidInput: `page_token` was not given by a page before.
    """
    if page_token == "":
        return LAST_NUMBER
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) <= 10):  # noqa: PLR2004 - digits of the largest
        raise InvalidInput(
            "invalid page token: expected the one of the page before", reason="INVALID_PAGE_TOKEN", field="page_token"
        )
    return min(int(page_token), LAST_NUMBER)
