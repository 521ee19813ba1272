"""What the RPCs of the registry need from the rest of the server; `app` plugs it in.

All of it raises `core.errors` alone.
"""

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from serinus.core.artifact import ArtifactFile
from serinus.core.version import ModelVersion
from serinus.registry.audit import Verification
from serinus.registry.records import AuditEntry, ModelRecord, Page, Registered, VersionFilter, VersionRecord
from serinus.transport.quantize_values import QuantizeOrder, QuantizeStep


class Reads(Protocol):
    """What is registered."""

    async def model(self, model: str) -> ModelRecord:
        """One model; NotFound if there is none."""
        ...

    async def models(self, *, page_size: int, page_token: str) -> Page[ModelRecord]:
        """Models by name; InvalidInput for a token that no page gave."""
        ...

    async def version(self, model: str, selector: str) -> VersionRecord:
        """The version that `selector` means among what is registered; NotFound if none is meant."""
        ...

    async def versions(
        self, model: str, wanted: VersionFilter, *, page_size: int, page_token: str
    ) -> Page[VersionRecord]:
        """Versions of a model, newest number first."""
        ...

    async def revision(self) -> int:
        """Of the whole registry."""
        ...


class Audit(Protocol):
    """The writes to the registry."""

    async def audit(self, *, after: int, model: str, limit: int) -> Sequence[AuditEntry]:
        """At most `limit` writes after revision `after`, oldest first; of one model, or of all for ""."""
        ...

    async def verify_audit(self) -> Verification:
        """Compute the chain of all writes again."""
        ...


class Writes(Protocol):
    """Changes of what is registered. Each gives what it has changed, as it is since.

    Each raises Conflict if the model's revision is not `expected_revision`; None expects nothing.
    """

    async def set_alias(
        self, model: str, alias: str, selector: str, *, expected_revision: int | None, actor: str
    ) -> ModelRecord:
        """Let `alias` name the version that `selector` means."""
        ...

    async def remove_alias(self, model: str, alias: str, *, expected_revision: int | None, actor: str) -> ModelRecord:
        """Let `alias` name nothing."""
        ...

    async def set_tags(
        self,
        model: str,
        selector: str,
        *,
        change: Mapping[str, str],
        remove: Sequence[str],
        expected_revision: int | None,
        actor: str,
    ) -> VersionRecord:
        """Add and change the tags of `change`, remove those of `remove`."""
        ...

    async def set_notes(
        self, model: str, selector: str, notes: str, *, expected_revision: int | None, actor: str
    ) -> VersionRecord:
        """Replace what was added to the version's card."""
        ...

    async def archive(self, model: str, selector: str, *, expected_revision: int | None, actor: str) -> VersionRecord:
        """Hide a version from lists and selectors."""
        ...

    async def restore(self, model: str, selector: str, *, expected_revision: int | None, actor: str) -> VersionRecord:
        """Bring it back."""
        ...

    async def delete(self, model: str, version: str, *, expected_revision: int | None, actor: str) -> int:
        """Delete a version for good; the model's revision since. Refused (IN_USE) while something needs it."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class UploadHeader:
    """What a caller says before it sends the bytes of a version.

    Attributes:
        model: Name.
        version: Semantic.
        files: All of the version's, in the order in which they are sent; sizes and hashes as declared.
        main: Path of the ONNX file among them; "" for the only one.
        facts_yaml: As the author wrote it.
        goldens: Paths of golden requests among the files.
        is_forced: The caller insists on the version though the change demands a larger one.
        aliases: To be set in the same write.
        expected_revision: Of the model, or None.
        actor: Who.
    """

    model: str
    version: str
    files: tuple[ArtifactFile, ...]
    main: str
    facts_yaml: str
    goldens: tuple[str, ...]
    is_forced: bool
    aliases: tuple[str, ...]
    expected_revision: int | None
    actor: str


class Uploads(Protocol):
    """Registers versions."""

    async def register(self, header: UploadHeader, chunks: AsyncIterator[bytes]) -> Registered:
        """Register a version from its files' bytes, end to end, without the files that are stored already.

        It takes `chunks` to its end before it registers anything. Whatever is raised, by it or by `chunks`, nothing of
        the upload stays.
        """
        ...


class Artifacts(Protocol):
    """Files by their hash."""

    async def has(self, sha256s: Collection[str]) -> frozenset[str]:
        """Those of `sha256s` that are stored."""
        ...

    def read(self, sha256: str, offset: int = 0) -> AsyncIterator[bytes]:
        """The content from byte `offset` on, in pieces; closing it gives back what it holds. DataLost if it is gone."""
        ...


class Changes(Protocol):
    """Tells when the registry has changed."""

    @property
    def revision(self) -> int:
        """The newest that this server has heard of."""
        ...

    async def wait_beyond(self, revision: int) -> None:
        """Wait until `self.revision` is larger than `revision`."""
        ...


class Cards(Protocol):
    """Writes model cards."""

    def __call__(self, record: VersionRecord, aliases: Mapping[str, ModelVersion]) -> str:
        """The card of a version, markdown; `aliases` are those of its model."""
        ...


class Placements(Protocol):
    """Loads and unloads on an operator's word."""

    async def load(self, model: str, selector: str, actor: str) -> None:
        """Serve a version, or a model of the command line or the model repository; returns when this server does."""
        ...

    async def unload(self, model: str, selector: str, actor: str) -> None:
        """Stop serving a version, or all of a model for ""; returns when the calls inside are answered."""
        ...


class Quantizations(Protocol):
    """Quantizes registered versions."""

    def quantize(self, order: QuantizeOrder) -> AsyncGenerator[QuantizeStep]:
        """Do as ordered; what is yielded is progress, and the last holds the report. Closing it ends the work."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class RegistryParts:
    """What the RPCs of the registry are made from."""

    reads: Reads
    writes: Writes
    audit: Audit
    uploads: Uploads
    artifacts: Artifacts
    changes: Changes
    cards: Cards
    placements: Placements
    quantizations: Quantizations
