"""What the registry knows, as values; nothing here changes once it is made."""

import dataclasses
import datetime as dt
import enum
import functools
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import Manifest
from serinus.core.selector import resolve
from serinus.core.signature import Signature
from serinus.core.traffic import NO_TRAFFIC, Traffic
from serinus.core.version import ModelVersion, Version

Item = TypeVar("Item")


class VersionState(enum.StrEnum):
    """ACTIVE → ARCHIVED → ACTIVE; both → DELETED. A deleted version's name and number are never used again."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"


class Placement(enum.StrEnum):
    """What somebody decided about serving a version, beside its aliases.

    FOLLOW: it is loaded while an alias names it. LOADED: it is loaded. UNLOADED: it is not, whatever names it.
    """

    FOLLOW = "follow"
    LOADED = "loaded"
    UNLOADED = "unloaded"


class ChangeLevel(enum.StrEnum):
    """What a version changes for those who call the one before it."""

    FIRST = "first"
    PATCH = "patch"
    MINOR = "minor"
    MAJOR = "major"


@dataclasses.dataclass(frozen=True, slots=True)
class GoldenResult:
    """How one golden request went.

    Attributes:
        name: Its file in the bundle.
        max_difference: Largest absolute difference of any output, in the outputs' units.
    """

    name: str
    max_difference: float


@dataclasses.dataclass(frozen=True, slots=True)
class Examination:
    """What loading a version in a child process has shown.

    Attributes:
        signature: What it takes and gives.
        notes: What the operator should know, a sentence each.
        goldens: How its golden requests went; all of them passed.
        load_s: Seconds that loading took.
        peak_bytes: Most memory that the child had.
    """

    signature: Signature
    notes: tuple[str, ...] = ()
    goldens: tuple[GoldenResult, ...] = ()
    load_s: float = 0.0
    peak_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class VersionRecord:
    """One registered version.

    Attributes:
        identity: Model, semantic version and number.
        manifest: Its files.
        facts: What its author says.
        examination: What loading it has shown.
        change: What it changes for callers of the version before.
        is_forced: Somebody insisted on a smaller version than the change demands.
        tags: Free text by name, as it is now.
        notes: Markdown that was added to its card later.
        report: What its quantizer measured, JSON; {} if it is not quantized here.
        state: Now.
        placement: What somebody decided about serving it.
        created_at: When it was registered, UTC.
        created_by: Who registered it.
        revision: The registry's revision at which it last changed.
    """

    identity: ModelVersion
    manifest: Manifest
    facts: VersionFacts
    examination: Examination
    change: ChangeLevel
    is_forced: bool
    tags: Mapping[str, str]
    notes: str
    report: Mapping[str, object]
    state: VersionState
    placement: Placement
    created_at: dt.datetime
    created_by: str
    revision: int


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """A version that is to be registered; its files are stored and examined already.

    Attributes:
        model: Its model's name.
        version: Its semantic version.
        manifest: Its files.
        facts: What its author says.
        examination: What loading it has shown.
        change: What it changes for callers of the version before.
        is_forced: Somebody insisted on a smaller version than the change demands.
        report: What its quantizer measured, JSON; {} if it is not quantized here.
    """

    model: str
    version: Version
    manifest: Manifest
    facts: VersionFacts
    examination: Examination
    change: ChangeLevel
    is_forced: bool = False
    report: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Registered:
    """How a registration ended.

    Attributes:
        record: The version as it is now.
        is_new: False if the same bytes and facts were registered under this version before.
        revision: The model's.
    """

    record: VersionRecord
    is_new: bool
    revision: int


@dataclasses.dataclass(frozen=True)
class ModelRecord:
    """One model: its versions and the names for them.

    Attributes:
        name: Of the model.
        versions: All that are not deleted, newest number first.
        aliases: Version by alias.
        created_at: When its first version was registered, UTC.
        revision: The registry's revision at which anything of it last changed.
        traffic: How its calls are shared out, and who answers when the chosen version cannot.
    """

    name: str
    versions: tuple[VersionRecord, ...]
    aliases: Mapping[str, ModelVersion]
    created_at: dt.datetime
    revision: int
    traffic: Traffic = NO_TRAFFIC

    @functools.cached_property
    def version(self) -> Mapping[int, VersionRecord]:
        """The versions by number."""
        return {record.identity.number: record for record in self.versions}

    def select(self, selector: str) -> VersionRecord | None:
        """The version that `selector` means; archived ones only by their own name, number or alias.

        Raises:
            InvalidInput: no version can be meant by such a text.
        """
        active = [record.identity for record in self.versions if record.state is VersionState.ACTIVE]
        found = resolve(selector, active, self.aliases)
        if found is None:
            exactly = [record.identity for record in self.versions if selector in _names(record.identity)]
            found = exactly[0] if exactly else self.aliases.get(selector)
        return None if found is None else self.version.get(found.number)


def _names(identity: ModelVersion) -> tuple[str, str]:
    return identity.version_text, identity.number_text


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole registry at one revision.

    Attributes:
        revision: Number of the last change in it; 0 for an empty registry.
        models: By name.
        head: Hash of the audit's entry of that revision, which tells this history from another one of the same length;
            "" for an empty registry.
        is_whole: All of that is in it. What is read back from a disk may lack what only the database may say.
    """

    revision: int
    models: Mapping[str, ModelRecord]
    head: str = ""
    is_whole: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class AuditEntry:
    """One write, and its place in the chain of all writes.

    Attributes:
        revision: 1 for the first write, one more for each.
        at: When, UTC.
        actor: Who.
        action: What, such as `alias.set`.
        model: To which model, or "".
        version: To which of its versions, or "".
        before: What was changed as it was, JSON; {} for what is new.
        after: As it is since; {} for what is gone.
        previous_hash: `hash` of the entry before; 64 zeros for the first.
        hash: SHA-256 in hexadecimal over all of the above.
    """

    revision: int
    at: dt.datetime
    actor: str
    action: str
    model: str
    version: str
    before: Mapping[str, object]
    after: Mapping[str, object]
    previous_hash: str
    hash: str


@dataclasses.dataclass(frozen=True, slots=True)
class MetricBound:
    """A metric that a version must have, within bounds; None for no bound."""

    name: str
    at_least: float | None = None
    at_most: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class VersionFilter:
    """Which versions of a model are wanted; all that is said must hold.

    Attributes:
        range: As `VersionRange.parse` reads it, or "".
        tags: Text by name that a version must have.
        framework: What its framework must start with, in any case.
        metrics: Bounds of its metrics.
        has_archived: Whether archived versions are wanted too.
    """

    range: str = ""
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    framework: str = ""
    metrics: Sequence[MetricBound] = ()
    has_archived: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list.

    Attributes:
        items: In order.
        next_token: What to ask with for the rest; "" at the end.
    """

    items: tuple[Item, ...]
    next_token: str
