"""What callers of the registry may say: messages into values, each text and number within its bounds."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

from serinus.core.artifact import ArtifactFile, check_artifact_path, check_sha256
from serinus.core.errors import InvalidInput
from serinus.core.selector import check_alias
from serinus.core.version import Version, check_model_name
from serinus.registry.records import MetricBound, VersionFilter
from serinus.transport.registry.ports import UploadHeader
from serinus.transport.wire_limits import check_text
from serinus_api.v1 import registry_pb2 as pb

MOST_FILES = 1000
_LONGEST_TAG_BYTES = 4 * 512  # a line of facts, in UTF-8
_LONGEST_NOTES = 65_536  # characters, as long as a text of facts
_MOST_ALIASES = 64
_LONGEST_FILE_BYTES = 1 << 40  # no disk has room for a mistake in the unit
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class _Names(Protocol):
    """A message that means a version of a model."""

    @property
    def model(self) -> str: ...
    @property
    def selector(self) -> str: ...


def named(asked: _Names) -> tuple[str, str]:
    """Model and selector of a message; what the selector means is the registry's to say.

    Raises:
        InvalidInput: nothing can have such a name.
    """
    check_text("selector", asked.selector, field="selector")
    return check_model_name(asked.model), asked.selector


class _Write(Protocol):
    """A message that may say what its caller has read before."""

    @property
    def expected_revision(self) -> int: ...
    def HasField(self, field_name: Literal["expected_revision"], /) -> bool: ...  # noqa: N802 - protobuf's name


def expected_of(asked: _Write) -> int | None:
    """The revision that is expected, or None for any."""
    return asked.expected_revision if asked.HasField("expected_revision") else None


def filter_of(asked: pb.ListVersionsRequest) -> VersionFilter:
    """Which versions are wanted.

    Raises:
        InvalidInput: a text or number that no version can be compared with.
    """
    check_text("range", asked.range, field="range")
    check_text("framework", asked.framework, longest_bytes=_LONGEST_TAG_BYTES, field="framework")
    return VersionFilter(
        range=asked.range,
        tags=tags_of("tags", asked.tags),
        framework=asked.framework,
        metrics=tuple(_metric_bound(each) for each in asked.metrics),
        has_archived=asked.include_archived,
    )


def _metric_bound(asked: pb.MetricBound) -> MetricBound:
    check_text("metrics", asked.name, field="metrics")
    if not asked.name:
        raise InvalidInput("metrics: expected the name of a metric, got none", reason="MISSING_NAME", field="metrics")
    return MetricBound(
        asked.name,
        finite("metrics", asked.at_least) if asked.HasField("at_least") else None,
        finite("metrics", asked.at_most) if asked.HasField("at_most") else None,
    )


def check_count(field: str, count: int, most: int) -> None:
    """Refuse lists that are longer than any honest one.

    Raises:
        InvalidInput: there are more than `most` entries.
    """
    if count > most:
        raise InvalidInput(
            f"{field}: expected at most {most} entries, got {count}", reason="TOO_MANY_ENTRIES", field=field
        )


def finite(field: str, number: float) -> float:
    """`number`, if something can be compared with it.

    Raises:
        InvalidInput: it is NaN or an infinity.
    """
    if not math.isfinite(number):
        raise InvalidInput(f"{field}: expected a finite number, got {number}", reason="NOT_FINITE", field=field)
    return number


def out_of_range(field: str, expected: str, got: float) -> InvalidInput:
    """The refusal of a number; `expected` says which ones there are."""
    return InvalidInput(f"{field}: expected {expected}, got {got:g}", reason="OUT_OF_RANGE", field=field)


def tags_of(field: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Tags with their texts.

    Raises:
        InvalidInput: a name or a text is too long or holds control characters.
    """
    for name, text in tags.items():
        check_text(f"{field}: name", name, field=field)
        check_text(f"{field}: {name[:64]!r}", text, longest_bytes=_LONGEST_TAG_BYTES, field=field)
    return dict(tags)


def tag_names(field: str, names: Iterable[str]) -> tuple[str, ...]:
    """Names of tags.

    Raises:
        InvalidInput: one is too long or holds control characters.
    """
    found = tuple(names)
    for name in found:
        check_text(f"{field}: name", name, field=field)
    return found


def notes_of(markdown: str) -> str:
    """A section of a card.

    Raises:
        InvalidInput: it is too long, or holds control characters other than ends of lines and tabs.
    """
    if len(markdown) > _LONGEST_NOTES:
        raise InvalidInput(
            f"markdown: expected at most {_LONGEST_NOTES} characters, got {len(markdown)}",
            reason="TEXT_TOO_LONG",
            field="markdown",
        )
    if _CONTROL_BUT_LINES.search(markdown):
        raise InvalidInput(
            "markdown: expected no control characters but ends of lines and tabs",
            reason="CONTROL_CHARACTER",
            field="markdown",
        )
    return markdown


def header_of(asked: pb.RegisterModelHeader, actor: str) -> UploadHeader:
    """What a caller says before it sends the bytes of a version; `actor` is who it is.

    Whether the files make a bundle, and what the facts say, is looked at by whoever registers them.

    Raises:
        InvalidInput: a name, hash, path or size that cannot be meant, or too many of them.
    """
    Version.parse(asked.version)
    check_count("files", len(asked.files), MOST_FILES)
    check_count("goldens", len(asked.goldens), MOST_FILES)
    check_count("aliases", len(asked.aliases), _MOST_ALIASES)
    return UploadHeader(
        model=check_model_name(asked.model),
        version=asked.version,
        files=tuple(_file(each) for each in asked.files),
        main=asked.main,
        facts_yaml=asked.facts_yaml,
        goldens=tuple(asked.goldens),
        is_forced=asked.force_version,
        aliases=tuple(check_alias(alias) for alias in asked.aliases),
        expected_revision=expected_of(asked),
        actor=actor,
    )


def _file(asked: pb.ArtifactFile) -> ArtifactFile:
    if asked.size_bytes > _LONGEST_FILE_BYTES:
        raise InvalidInput(
            f"files: expected at most {_LONGEST_FILE_BYTES} bytes of one file, got {asked.size_bytes}",
            reason="FILE_TOO_LARGE",
            field="files",
        )
    return ArtifactFile(check_artifact_path(asked.path), check_sha256(asked.sha256), asked.size_bytes)
