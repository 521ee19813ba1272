"""Which version of which model: semantic versions, and the positive integers that Triton clients need."""

import dataclasses
import re
from typing import Self

from serinus.core.errors import InvalidInput

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}", re.ASCII)
_SEMVER = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)


def check_model_name(name: str) -> str:
    """Return `name` if it can name a model: lower case, digits, `.`, `_`, `-`; at most 128; no `..`.

    Raises:
        InvalidInput: it cannot.
    """
    if _NAME.fullmatch(name) is None or ".." in name:
        raise InvalidInput(
            f"invalid model name {name[:64]!r}: expected [a-z0-9][a-z0-9._-]{{0,127}} without '..'",
            reason="INVALID_NAME",
            field="model",
        )
    return name


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Version:
    """A semantic version, `major.minor.patch`."""

    major: int
    minor: int = 0
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1.2.3`.

        Raises:
            InvalidInput: the text is not three dot-separated numbers without leading zeros.
        """
        if (match := _SEMVER.fullmatch(text)) is None:
            raise InvalidInput(
                f"invalid version {text[:64]!r}: expected MAJOR.MINOR.PATCH", reason="INVALID_VERSION", field="version"
            )
        return cls(*(int(part) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclasses.dataclass(frozen=True)
class ModelVersion:
    """One version of one model.

    Attributes:
        model: The model's name.
        version: Its semantic version.
        number: A positive integer that stands for the version wherever a protocol allows integers only; never reused.
        version_text: `version` as text, made once because each answer carries it.
        number_text: `number` as text, likewise.
    """

    model: str
    version: Version
    number: int
    version_text: str = dataclasses.field(init=False, repr=False, compare=False)
    number_text: str = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version_text", str(self.version))
        object.__setattr__(self, "number_text", str(self.number))

    def __hash__(self) -> int:
        # Looked up several times a call; the generated hash would walk all fields.
        return hash((self.model, self.number))

    def __str__(self) -> str:
        return f"{self.model}@{self.version_text}"
