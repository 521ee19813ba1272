"""What the RPCs of the registry need from the rest of the server; `app` plugs it in.

All of it raises `core.errors` alone.
"""

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from serinus.core.artifact import ArtifactFile
from serinus.core.version import Version
from serinus.registry.records import AuditEntry, ModelRecord, Page, Registered, Snapshot, VersionFilter, VersionRecord
from serinus.registry.sql.audit import Verification
from serinus.transport.registry.quantize_values import QuantizeOrder, QuantizeStep


class Reads(Protocol):
    """What is registered; `registry.registry.Registry` is one."""

    async def model(self, name: str) -> ModelRecord:
        """One model; NotFound if there is none."""
        ...

    async def models(self, after_name: str = "", limit: int = 100) -> Sequence[ModelRecord]:
        """The first `limit` models behind `after_name`, by name."""
        ...

    async def versions(
        self, model: str, wanted: VersionFilter, page_token: str = "", limit: int = 100
    ) -> Page[VersionRecord]:
        """The first `limit` versions that are wanted, newest number first; InvalidInput for a token of no page."""
        ...

    async def current_revision(self) -> int:
        """Of the whole registry."""
        ...


class Audit(Protocol):
    """The writes to the registry; `registry.registry.Registry` is one."""

    async def audit(self, after_revision: int, *, model: str = "", limit: int = 100) -> Sequence[AuditEntry]:
        """The first `limit` entries behind `after_revision`, oldest first; of one model, unless that is ""."""
        ...

    async def verify_audit(self) -> Verification:
        """Compute the chain of all entries again."""
        ...


class Writes(Protocol):
    """Changes of what is registered; `registry.registry.Registry` is one.

    Each gives what it has changed, as it is since, and raises Conflict if the model's revision is not
    `expected_revision`; None expects nothing.
    """

    async def set_alias(
        self, model: str, alias: str, selector: str, *, actor: str, expected_revision: int | None = None
    ) -> ModelRecord:
        """Let `alias` name the version that `selector` means."""
        ...

    async def remove_alias(
        self, model: str, alias: str, *, actor: str, expected_revision: int | None = None
    ) -> ModelRecord:
        """Let `alias` name nothing."""
        ...

    async def set_tags(
        self,
        model: str,
        selector: str,
        *,
        changed: Mapping[str, str],
        removed: Collection[str] = (),
        actor: str,
        expected_revision: int | None = None,
    ) -> VersionRecord:
        """Add and change the tags `changed` of a version, and take those of `removed` away."""
        ...

    async def set_notes(
        self, model: str, selector: str, notes: str, *, actor: str, expected_revision: int | None = None
    ) -> VersionRecord:
        """Replace what was added to a version's card."""
        ...

    async def archive(
        self, model: str, selector: str, *, actor: str, expected_revision: int | None = None
    ) -> VersionRecord:
        """Hide a version from lists and selectors."""
        ...

    async def restore(
        self, model: str, selector: str, *, actor: str, expected_revision: int | None = None
    ) -> VersionRecord:
        """Bring an archived version back."""
        ...

    async def delete(self, model: str, version: Version, *, actor: str, expected_revision: int | None = None) -> int:
        """Delete a version for good; the model's revision since. Refused (IN_USE) while something needs it."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class UploadHeader:
    """What a caller says before it sends the bytes of a version: an `Upload` of the registry's.

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
    """Registers versions; `registry.registration.Registrations` does."""

    async def register(self, upload: UploadHeader, chunks: AsyncIterator[bytes]) -> Registered:
        """Register a version from its files' bytes, end to end, without the files that are stored already.

        It takes `chunks` to its end before it registers anything, or nothing of it if the version was registered
        before. Whatever is raised, by it or by `chunks`, nothing of the upload stays.
        """
        ...


class Artifacts(Protocol):
    """Files by their hash; `registry.artifacts.ArtifactStore` is one."""

    async def has(self, sha256s: Collection[str]) -> frozenset[str]:
        """Those of `sha256s` that are stored."""
        ...

    def read(self, sha256: str, offset: int = 0) -> AsyncIterator[bytes]:
        """The content from byte `offset` on, in pieces; closing it gives back what it holds. DataLost if it is gone."""
        ...


class Changes(Protocol):
    """Tells when the registry has changed; `registry.following.Follower` is one."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest that this server knows."""
        ...

    def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot as it is now, then newer ones; a slow reader skips some. It never ends by itself."""
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
    placements: Placements
    quantizations: Quantizations
