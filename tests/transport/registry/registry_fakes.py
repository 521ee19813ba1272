"""A registry in memory, as the RPCs need it: tests see what it was asked, and say when it is to fail or to wait."""

import asyncio
import datetime as dt
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from typing import Any

from serinus.core.errors import InvalidInput, NotFound, ServerError
from serinus.registry.records import AuditEntry, ModelRecord, Page, Registered, Snapshot, VersionRecord
from serinus.registry.sql.audit import EMPTY, Head, Verification, next_entry
from serinus.transport.registry.ports import UploadHeader
from serinus.transport.registry.quantize_values import QuantizeOrder, QuantizeStep
from tests.support.records import NOON, model_record, version_record


class FakeRegistry:
    """Reads, writes, audit and changes.

    Attributes:
        models_by_name: What is registered.
        asked: Every write: its name and arguments.
        entries: The audit.
        audits: Arguments of every read of it.
        failure: Raised by every call while it is set.
        gate: While it is not set, reads of models wait.
    """

    def __init__(self) -> None:
        self.models_by_name: dict[str, ModelRecord] = {}
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.listed: list[tuple[Any, ...]] = []
        self.entries: list[AuditEntry] = []
        self.audits: list[tuple[int, str, int]] = []
        self.failure: ServerError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.snapshot = Snapshot(0, {})
        self._changed = asyncio.Event()

    def register(self, *versions: VersionRecord, name: str = "m", **aliases: int) -> ModelRecord:
        """A model is there."""
        self.models_by_name[name] = record = model_record(*versions, name=name, aliases=aliases)
        return record

    def write(self, model: str = "m", *, action: str = "alias.set", after: dict[str, object] | None = None) -> None:
        """Somebody has written; nobody was told yet."""
        last = Head(self.entries[-1].revision, self.entries[-1].hash) if self.entries else EMPTY
        at = NOON + dt.timedelta(seconds=len(self.entries))
        self.entries.append(
            next_entry(
                last, at=at, actor="ann", action=action, model=model, version="1.0.0", before={}, after=after or {}
            )
        )

    def tell(self, revision: int | None = None) -> None:
        """This server has heard of a revision; None stands for the newest."""
        self.snapshot = Snapshot(len(self.entries) if revision is None else revision, {})
        self._changed.set()
        self._changed = asyncio.Event()

    async def changes(self) -> AsyncIterator[Snapshot]:
        while True:
            changed = self._changed
            yield self.snapshot
            await changed.wait()

    # Reads.

    async def model(self, name: str) -> ModelRecord:
        await self.gate.wait()
        self._fail()
        if name not in self.models_by_name:
            raise NotFound(f"no model {name!r}", field="model")
        return self.models_by_name[name]

    async def models(self, after_name: str = "", limit: int = 100) -> list[ModelRecord]:
        self.listed.append((after_name, limit))
        return [record for name, record in sorted(self.models_by_name.items()) if name > after_name][:limit]

    async def versions(self, model: str, wanted: Any, page_token: str = "", limit: int = 100) -> Page[VersionRecord]:
        self.listed.append((model, wanted, page_token, limit))
        found = self.models_by_name[model].versions[int(page_token or 0) :]
        start = int(page_token or 0)
        return Page(found[:limit], str(start + limit) if len(found) > limit else "")

    async def current_revision(self) -> int:
        return len(self.entries)

    async def audit(self, after_revision: int, *, model: str = "", limit: int = 100) -> list[AuditEntry]:
        self.audits.append((after_revision, model, limit))
        await asyncio.sleep(0)
        self._fail()
        return [e for e in self.entries if e.revision > after_revision and model in {"", e.model}][:limit]

    async def verify_audit(self) -> Verification:
        return Verification(3, 2, "entry 2 was changed", Head(1, "ab" * 32))

    # Writes.

    async def set_alias(self, *args: Any, **kwargs: Any) -> ModelRecord:
        return self._write("set_alias", args, kwargs)

    async def remove_alias(self, *args: Any, **kwargs: Any) -> ModelRecord:
        return self._write("remove_alias", args, kwargs)

    async def set_tags(self, *args: Any, **kwargs: Any) -> VersionRecord:
        return self._write("set_tags", args, kwargs).versions[0]

    async def set_notes(self, *args: Any, **kwargs: Any) -> VersionRecord:
        return self._write("set_notes", args, kwargs).versions[0]

    async def archive(self, *args: Any, **kwargs: Any) -> VersionRecord:
        return self._write("archive", args, kwargs).versions[0]

    async def restore(self, *args: Any, **kwargs: Any) -> VersionRecord:
        return self._write("restore", args, kwargs).versions[0]

    async def delete(self, *args: Any, **kwargs: Any) -> int:
        return self._write("delete", args, kwargs).revision

    def _write(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRecord:
        self._fail()
        self.asked.append((name, args, kwargs))
        return self.models_by_name["m"]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakeUploads:
    """Takes uploads whole; what was cut off leaves nothing.

    Attributes:
        registered: Header and bytes of each that came to its end.
        ended: How each ended, in order: "registered", "refused", or the name of the error that came.
        begun: Set when one has begun.
        over: Set when one has ended.
    """

    def __init__(self) -> None:
        self.registered: list[tuple[UploadHeader, bytes]] = []
        self.ended: list[str] = []
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def register(self, upload: UploadHeader, chunks: AsyncIterator[bytes]) -> Registered:
        self.begun.set()
        content = b""
        try:
            async for chunk in chunks:
                content += chunk
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        finally:
            self.over.set()
        if len(content) != sum(file.size_bytes for file in upload.files):
            self.ended.append("refused")
            raise InvalidInput("the upload is not whole", reason="WRONG_SIZE", field="chunk")
        self.ended.append("registered")
        self.registered.append((upload, content))
        return Registered(version_record(upload.version), is_new=True, revision=7)


class FakeArtifacts:
    """Files by hash, given in pieces.

    Attributes:
        files: Content by hash.
        piece_bytes: Of a piece.
        given: Pieces that were taken.
        is_closed: Whether the last reader has let go.
    """

    def __init__(self, *contents: bytes) -> None:
        self.files = {hashlib.sha256(content).hexdigest(): content for content in contents}
        self.piece_bytes = 3 << 19
        self.given = 0
        self.is_closed = False

    async def has(self, sha256s: Collection[str]) -> frozenset[str]:
        return frozenset(sha256s) & self.files.keys()

    async def read(self, sha256: str, offset: int = 0) -> AsyncGenerator[bytes]:
        content = self.files[sha256]
        try:
            for start in range(offset, len(content), self.piece_bytes):
                self.given += 1
                yield content[start : start + self.piece_bytes]
        finally:
            self.is_closed = True


class FakeQuantizer:
    """Takes the steps that it is told to.

    Attributes:
        steps: What it tells.
        orders: What was ordered.
        gate: While it is not set, it waits behind its first step.
        is_closed: Whether the work has ended.
    """

    def __init__(self) -> None:
        self.steps: list[QuantizeStep] = []
        self.orders: list[QuantizeOrder] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_closed = asyncio.Event()

    async def quantize(self, order: QuantizeOrder) -> AsyncGenerator[QuantizeStep]:
        self.orders.append(order)
        try:
            for step in self.steps:
                yield step
                await self.gate.wait()
        finally:
            self.is_closed.set()


class FakePlacements:
    """Writes down what is to be loaded and unloaded.

    Attributes:
        asked: In order.
        failure: Raised while it is set.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, str]] = []
        self.failure: ServerError | None = None

    async def load(self, model: str, selector: str, actor: str) -> None:
        await self._ask("load", model, selector, actor)

    async def unload(self, model: str, selector: str, actor: str) -> None:
        await self._ask("unload", model, selector, actor)

    async def _ask(self, *what: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.asked.append(what)  # type: ignore[arg-type]  # four words
