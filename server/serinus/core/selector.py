"""Which version is meant: numbers, semantic versions, ranges, aliases and `latest` are told apart here alone."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Final, Self

from serinus.core.errors import InvalidInput
from serinus.core.version import ModelVersion, Version

LATEST: Final = "latest"
"""Always the highest version; nobody can set it."""
STABLE: Final = "stable"
"""What a call reaches that names no version, where this alias is set."""

_PART = r"(0|[1-9]\d{0,8})"
# Numbers, and behind them `x` for what is left open: 1.2.x, and not 1.x.2.
_RANGE = re.compile(rf"(\^|~|>=|<=|>|<|=)?{_PART}(?:\.{_PART}(?:\.{_PART})?)?(?:\.[x*]){{0,2}}", re.ASCII)
_MOST_PARTS = 8  # nobody means more comparisons at once
_NUMBER = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)


def check_alias(alias: str) -> str:
    """Return `alias` if it can name a version: a lower-case letter, then letters, digits, `_`, `-`; at most 64.

    Raises:
        InvalidInput: it cannot, or it is `latest`.
    """
    if _ALIAS.fullmatch(alias) is None or alias == LATEST:
        raise InvalidInput(
            f"invalid alias {alias[:80]!r}: expected [a-z][a-z0-9_-]{{0,63}}, and not {LATEST!r}, which always means"
            " the highest version",
            reason="INVALID_ALIAS",
            field="alias",
        )
    return alias


@dataclasses.dataclass(frozen=True, slots=True)
class VersionRange:
    """Versions from `lowest` on, below `end`.

    Attributes:
        lowest: The first that belongs to it.
        end: The first that does not any more, or None.
    """

    lowest: Version
    end: Version | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `^1.2` (below 2.0.0), `~1.2` (below 1.3.0), `1.2.x`, `>=1.2 <1.5`; comparisons with a space between.

        As in npm and Cargo, `^0.2.3` ends at 0.3.0 and `^0.0.3` at 0.0.4.

        Raises:
            InvalidInput: the text is no range.
        """
        parts = text.split(maxsplit=_MOST_PARTS)
        if not 0 < len(parts) <= _MOST_PARTS:
            raise _no_range(text)
        lowest, end = Version(0), None
        for part in parts:
            one_lowest, one_end = _bounds(part, text)
            lowest = max(lowest, one_lowest)
            if one_end is not None:
                end = one_end if end is None else min(end, one_end)
        return cls(lowest, end)

    def __contains__(self, version: Version) -> bool:
        return self.lowest <= version and (self.end is None or version < self.end)


def _bounds(part: str, text: str) -> tuple[Version, Version | None]:
    if (match := _RANGE.fullmatch(part)) is None:
        raise _no_range(text)
    sign, *fields = match.groups()
    numbers = [int(field) for field in fields if field is not None]
    if part.count(".") > 2:  # noqa: PLR2004 - a version has two dots
        raise _no_range(text)
    low = Version(*numbers, *([0] * (3 - len(numbers))))
    given = len(numbers)
    # What stands right behind everything that the numbers given cover: 1.2 covers 1.2.0 to 1.2.x.
    behind = (Version(low.major + 1), Version(low.major, low.minor + 1), Version(low.major, low.minor, low.patch + 1))
    first_that_counts = min(next((i for i, number in enumerate(numbers) if number), given - 1), 2)
    bounds: dict[str, tuple[Version, Version | None]] = {
        "^": (low, behind[first_that_counts]),
        "~": (low, behind[min(given - 1, 1)]),
        ">=": (low, None),
        ">": (behind[given - 1], None),
        "<": (Version(0), low),
        "<=": (Version(0), behind[given - 1]),
        "=": (low, behind[given - 1]),
    }
    return bounds[sign or "="]


def _no_range(text: str) -> InvalidInput:
    return InvalidInput(
        f"invalid range {text[:80]!r}: expected such as '^1.2', '~1.2', '1.2.x' or '>=1.2 <1.5'",
        reason="INVALID_RANGE",
        field="range",
    )


def resolve(
    selector: str, versions: Iterable[ModelVersion], aliases: Mapping[str, ModelVersion]
) -> ModelVersion | None:
    """The version that `selector` means among `versions`, or None if none of them is meant.

    Args:
        selector: "" (alias `stable`, or else the highest), `latest`, an alias, "1.2.0", a version's number, or a range,
            of which the highest version is meant.
        versions: What there is to choose from.
        aliases: Version by alias; a version that is not among `versions` counts as not there.

    Raises:
        InvalidInput: no version can be meant by such a text.
    """
    there = {version.number: version for version in versions}
    if selector == "" and (stable := aliases.get(STABLE)) is not None:
        return there.get(stable.number)
    if selector in {"", LATEST}:
        return max(there.values(), key=lambda each: each.version, default=None)
    if (aliased := aliases.get(selector)) is not None:
        return there.get(aliased.number)
    if _ALIAS.fullmatch(selector):
        return None
    if _DIGITS.fullmatch(selector):  # a number and never a range: "1" is not 1.x
        return there.get(int(selector)) if _NUMBER.fullmatch(selector) else None
    wanted = VersionRange.parse(selector)
    return max((each for each in there.values() if each.version in wanted), key=lambda each: each.version, default=None)
