"""What is wanted of one model: which versions, under which names."""

import dataclasses
from collections.abc import Mapping
from typing import Self

from serinus.config.models import ModelSpec, VersionSpec
from serinus.core.selector import STABLE
from serinus.core.version import ModelVersion


@dataclasses.dataclass(frozen=True)
class ModelPlan:
    """What is wanted of one model. Equal plans want the same.

    Attributes:
        name: Of the model.
        versions: To be served, each number once; () for none.
        aliases: Version by alias, as it should be; an alias moves when its version is ready.
        known: Versions that exist without being wanted: the index shows them.
        is_lasting: Whether the versions can be loaded again at any time. Where their files are gone once they are
            loaded, they are never unloaded to make room.
    """

    name: str
    versions: tuple[VersionSpec, ...] = ()
    aliases: Mapping[str, ModelVersion] = dataclasses.field(default_factory=dict)
    known: tuple[ModelVersion, ...] = ()
    is_lasting: bool = True

    def __post_init__(self) -> None:
        numbers = [spec.identity.number for spec in self.versions]
        # Loads are told apart by their number: two with the same one would take each other's place for ever.
        assert len(set(numbers)) == len(numbers), f"{self.name}: a version number is wanted twice: this is a bug"

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Everything that `spec` names, without aliases."""
        return cls(spec.name, spec.version_specs())

    def in_order(self) -> tuple[VersionSpec, ...]:
        """The versions wanted, as they are to be loaded: what most calls mean first.

        That is `stable`, then what other aliases name, then the others; the highest first among equals.
        """
        stable = self.aliases.get(STABLE)
        named = {version.number for version in self.aliases.values()}

        def rank(spec: VersionSpec) -> tuple[bool, bool, tuple[int, int, int]]:
            version = spec.identity.version
            number = spec.identity.number
            return (
                stable is None or number != stable.number,
                number not in named,
                (-version.major, -version.minor, -version.patch),
            )

        return tuple(sorted(self.versions, key=rank))

    def identities(self) -> tuple[ModelVersion, ...]:
        """All versions that it speaks of."""
        return (*self.known, *(spec.identity for spec in self.versions))
