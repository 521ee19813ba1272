"""A registry in memory behind a real port: tests see what it was asked, and say when it is to fail."""

import asyncio
import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from serinus.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused, ServerError
from serinus.core.selector import resolve
from serinus.core.version import ModelVersion, Version
from serinus.transport.status import status_of
from serinus_api.v1 import admin_pb2, predict_pb2
from serinus_api.v1 import registry_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

STARTED_AT_S = 1_700_000_000


class FakeRegistry:
    """Serves RegistryService and the registry's part of AdminService: `async with FakeRegistry() as fake`.

    Attributes:
        asked: Every request received, in order.
        faults: What the next call of a method fails with, by its name; each once, None passes.
        uploads: Bytes of chunks by registration.
        stop_upload_after: Bytes of chunks after which a registration fails as a lost connection, once; kept files stay.
        blobs: Content by hash.
        arriving: What others bring right after the next question for what is there.
        models: By name.
        changes: All writes.
        chunk_bytes: Of a download.
        stop_download_after: Chunks after which a download fails as a lost connection, once.
        corrupt: What a download does to each chunk.
        status: What GetServerStatus says.
        steps: What QuantizeModel streams.
        audit: What VerifyAudit says.
    """

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.asked: list[Any] = []
        self.faults: dict[str, list[ServerError | None]] = {}
        self.uploads: list[int] = []
        self.stop_upload_after: int | None = None
        self.blobs: dict[str, bytes] = {}
        self.models: dict[str, pb.RegisteredModel] = {}
        self.changes: list[pb.Change] = []
        self.arriving: list[dict[str, bytes]] = []
        self.chunk_bytes = 1 << 16
        self.stop_download_after: int | None = None
        self.corrupt: Callable[[bytes], bytes] = bytes
        self.status = admin_pb2.GetServerStatusResponse(server_version="0.1.0", ready=True)
        self.steps: list[pb.QuantizeModelResponse] = []
        self.audit = admin_pb2.VerifyAuditResponse(head="ab" * 32)
        self._changed = asyncio.Event()
        self._break = asyncio.Event()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        for service, module in (("RegistryService", pb), ("AdminService", admin_pb2)):
            self._server.add_generic_rpc_handlers((self._handlers(service, module),))
        address = "127.0.0.1:0"
        self.port = (
            self._server.add_insecure_port(address)
            if credentials is None
            else self._server.add_secure_port(address, credentials)
        )

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self):
        await self._server.start()
        return self

    async def __aexit__(self, *_):
        await self._server.stop(None)

    def asked_for(self, kind: type) -> list[Any]:
        """The requests of one kind."""
        return [request for request in self.asked if isinstance(request, kind)]

    def break_streams(self) -> None:
        """End the watches that are open now, as a lost connection would."""
        self._break.set()
        self._break = asyncio.Event()

    def add(self, model: str, version: str, files: dict[str, bytes] | None = None, **fields: Any) -> pb.ModelVersion:
        """Put a version there, as somebody else would."""
        files = files or {"model.onnx": f"{model}@{version}".encode()}
        described = []
        for path, content in files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            self.blobs[sha256] = content
            described.append(pb.ArtifactFile(path=path, sha256=sha256, size_bytes=len(content)))
        found = pb.ModelVersion(model=model, version=version, files=described, main=next(iter(files)), **fields)
        return self._insert(found, "somebody")

    def _insert(self, version: pb.ModelVersion, actor: str) -> pb.ModelVersion:
        held = self.models.setdefault(version.model, pb.RegisteredModel(name=version.model))
        held.created_at.seconds = version.created_at.seconds = STARTED_AT_S
        version.version_number = version.version_number or len(held.versions) + 1
        version.state = version.state or pb.VERSION_STATE_ACTIVE
        version.placement = version.placement or pb.PLACEMENT_FOLLOW
        versions = [version, *held.versions]
        del held.versions[:]
        held.versions.extend(versions)
        if not held.aliases:
            held.aliases["stable"] = version.version
        self._record("version.register", held, version, actor)
        return held.versions[0]

    def _record(self, action: str, model: pb.RegisteredModel, version: pb.ModelVersion | None, actor: str) -> None:
        revision = len(self.changes) + 1
        model.revision = revision
        if version is not None:
            version.revision = revision
        for each in model.versions:
            del each.aliases[:]
            each.aliases.extend(sorted(alias for alias, named in model.aliases.items() if named == each.version))
        self.changes.append(
            pb.Change(
                revision=revision,
                actor=actor,
                action=action,
                model=model.name,
                version=version.version if version is not None else "",
                before_json="{}",
                after_json=json.dumps({"revision": revision}),
            )
        )
        self._changed.set()
        self._changed = asyncio.Event()

    # The wire.

    def _handlers(self, service: str, module: Any) -> grpc.GenericRpcHandler:
        methods = {}
        for method in module.DESCRIPTOR.services_by_name[service].methods:
            answer = getattr(self, f"_{method.name}", None)
            if answer is None:
                continue
            request = getattr(module, method.input_type.name)
            make = {
                (False, False): grpc.unary_unary_rpc_method_handler,
                (False, True): grpc.unary_stream_rpc_method_handler,
                (True, False): grpc.stream_unary_rpc_method_handler,
            }[method.client_streaming, method.server_streaming]
            kind = (
                self._streamed if method.server_streaming else self._uploaded if method.client_streaming else self._one
            )
            methods[method.name] = make(
                kind(method.name, answer),
                request_deserializer=request.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
        return grpc.method_handlers_generic_handler(f"serinus.v1.{service}", methods)

    def _one(self, name: str, answer: Any) -> Any:
        async def handle(request, context):
            self.asked.append(request)
            try:
                self._fail(name)
                return answer(request)
            except ServerError as error:
                await _abort(context, error)

        return handle

    def _streamed(self, name: str, answer: Any) -> Any:
        async def handle(request, context):
            kept = type(request)()
            kept.CopyFrom(request)
            self.asked.append(kept)
            try:
                self._fail(name)
                async for message in answer(request):
                    yield message
            except ServerError as error:
                await _abort(context, error)
            except ConnectionError:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "broken by the test")

        return handle

    def _uploaded(self, name: str, answer: Any) -> Any:
        async def handle(requests, context):
            try:
                self._fail(name)
                return await answer(requests)
            except ServerError as error:
                await _abort(context, error)
            except ConnectionError:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "broken by the test")

        return handle

    def _fail(self, name: str) -> None:
        waiting = self.faults.get(name)
        if waiting and (error := waiting.pop(0)) is not None:
            raise error

    # The registry.

    def _find(self, model: str, selector: str | None = None) -> tuple[pb.RegisteredModel, pb.ModelVersion]:
        held = self.models.get(model)
        if held is None:
            raise NotFound(f"model {model!r} is not registered", field="model")
        if selector is None:
            return held, pb.ModelVersion()
        identities = {v.version: ModelVersion(model, Version.parse(v.version), v.version_number) for v in held.versions}
        aliases = {alias: identities[named] for alias, named in held.aliases.items()}
        found = resolve(selector, identities.values(), aliases)
        if found is None:
            raise NotFound(f"model {model!r} has no version {selector!r}", field="selector")
        return held, next(v for v in held.versions if v.version_number == found.number)

    def _write(self, request: Any) -> pb.RegisteredModel:
        held, _ = self._find(request.model)
        if request.HasField("expected_revision") and request.expected_revision != held.revision:
            raise Conflict(
                f"model {request.model!r} is at revision {held.revision}, expected {request.expected_revision}",
                current_revision=held.revision,
            )
        return held

    def _FindArtifacts(self, request):  # noqa: N802 - the protocol's name
        present = [sha256 for sha256 in request.sha256 if sha256 in self.blobs]
        while self.arriving:
            self.blobs.update(self.arriving.pop())
        return pb.FindArtifactsResponse(present=present)

    async def _RegisterModel(self, requests):  # noqa: N802 - the protocol's name
        header = (await anext(requests)).header
        self.asked.append(header)
        self.uploads.append(0)
        missing = [file for file in header.files if file.sha256 not in self.blobs]
        content = b""
        async for request in requests:
            content += request.chunk
            self.uploads[-1] += len(request.chunk)
            while missing and len(content) >= missing[0].size_bytes:
                file, content = missing[0], self._keep(missing[0], content)
                missing.remove(file)
            if self.stop_upload_after is not None and self.uploads[-1] >= self.stop_upload_after:
                self.stop_upload_after = None
                raise ConnectionError
        for file in missing:
            content = self._keep(file, content)
        return self._registered(header)

    def _keep(self, file: pb.ArtifactFile, content: bytes) -> bytes:
        own, rest = content[: file.size_bytes], content[file.size_bytes :]
        if hashlib.sha256(own).hexdigest() != file.sha256:
            raise InvalidInput(f"file {file.path!r} is not what was announced", reason="HASH_MISMATCH")
        self.blobs[file.sha256] = own
        return rest

    def _registered(self, header: pb.RegisterModelHeader) -> pb.RegisterModelResponse:
        held = self.models.get(header.model)
        for version in held.versions if held is not None else ():
            if version.version == header.version:
                if list(version.files) != list(header.files):
                    raise AlreadyExists(f"{header.model}@{header.version} is there with other bytes")
                return pb.RegisterModelResponse(version=version, created=False, revision=held.revision)
        if held is not None:
            self._write(header)
        version = pb.ModelVersion(
            model=header.model,
            version=header.version,
            files=header.files,
            main=header.main,
            facts_yaml=header.facts_yaml,
            created_by=header.actor,
            goldens=[pb.GoldenResult(name=name) for name in header.goldens],
            change=pb.CHANGE_LEVEL_FIRST if held is None else pb.CHANGE_LEVEL_PATCH,
            forced=header.force_version,
            inputs=[predict_pb2.TensorInfo(name="x", dtype=predict_pb2.DATA_TYPE_FP32, shape=[-1, 2], batch_axis=0)],
        )
        held = self.models.setdefault(header.model, pb.RegisteredModel(name=header.model))
        for alias in header.aliases:
            held.aliases[alias] = header.version
        kept = self._insert(version, header.actor)
        return pb.RegisterModelResponse(version=kept, created=True, revision=held.revision)

    def _GetModel(self, request):  # noqa: N802 - the protocol's name
        return pb.GetModelResponse(model=self._find(request.model)[0])

    def _ListModels(self, request):  # noqa: N802 - the protocol's name
        names = sorted(name for name in self.models if name > request.page_token)
        page = names[: request.page_size]
        return pb.ListModelsResponse(
            models=[self.models[name] for name in page],
            next_page_token=page[-1] if len(names) > len(page) else "",
            revision=len(self.changes),
        )

    def _GetVersion(self, request):  # noqa: N802 - the protocol's name
        return pb.GetVersionResponse(version=self._find(request.model, request.selector)[1])

    def _ListVersions(self, request):  # noqa: N802 - the protocol's name
        held, _ = self._find(request.model)
        start = int(request.page_token or 0)
        stop = start + request.page_size
        return pb.ListVersionsResponse(
            versions=held.versions[start:stop], next_page_token=str(stop) if stop < len(held.versions) else ""
        )

    def _SetAlias(self, request):  # noqa: N802 - the protocol's name
        held = self._write(request)
        version = None
        if request.selector:
            version = self._find(request.model, request.selector)[1]
            held.aliases[request.alias] = version.version
        else:
            held.aliases.pop(request.alias, None)
        self._record("alias.set" if request.selector else "alias.remove", held, version, request.actor)
        return pb.SetAliasResponse(model=held)

    def _SetTags(self, request):  # noqa: N802 - the protocol's name
        held = self._write(request)
        version = self._find(request.model, request.selector)[1]
        version.tags.update(request.set)
        for name in request.remove:
            version.tags.pop(name, None)
        self._record("tags.set", held, version, request.actor)
        return pb.SetTagsResponse(version=version)

    def _ArchiveVersion(self, request):  # noqa: N802 - the protocol's name
        held = self._write(request)
        version = self._find(request.model, request.selector)[1]
        version.state = pb.VERSION_STATE_ACTIVE if request.restore else pb.VERSION_STATE_ARCHIVED
        self._record("version.restore" if request.restore else "version.archive", held, version, request.actor)
        return pb.ArchiveVersionResponse(version=version)

    def _DeleteVersion(self, request):  # noqa: N802 - the protocol's name
        held = self._write(request)
        version = self._find(request.model, request.version)[1]
        if version.aliases:
            raise Refused(f"{request.model}@{version.version} is named by {list(version.aliases)}", reason="IN_USE")
        held.versions.remove(version)
        self._record("version.delete", held, version, request.actor)
        return pb.DeleteVersionResponse(revision=held.revision)

    def _GetCard(self, request):  # noqa: N802 - the protocol's name
        version = self._find(request.model, request.selector)[1]
        return pb.GetCardResponse(
            markdown=f"# {request.model} {version.version}\n\nA *card*.\n", version=version.version
        )

    def _SetCardNotes(self, request):  # noqa: N802 - the protocol's name
        held = self._write(request)
        version = self._find(request.model, request.selector)[1]
        self._record("card.notes", held, version, request.actor)
        return pb.SetCardNotesResponse(version=version)

    async def _DownloadArtifact(self, request):  # noqa: N802 - the protocol's name
        version = self._find(request.model, request.selector)[1]
        file = next(file for file in version.files if file.path == (request.path or version.main))
        content = self.blobs[file.sha256]
        first = True
        for sent, start in enumerate(range(request.offset, len(content), self.chunk_bytes)):
            if self.stop_download_after is not None and sent >= self.stop_download_after:
                self.stop_download_after = None
                raise ConnectionError
            chunk = self.corrupt(content[start : start + self.chunk_bytes])
            yield pb.DownloadArtifactResponse(chunk=chunk, file=file if first else None)
            first = False

    async def _Watch(self, request):  # noqa: N802 - the protocol's name
        after = request.after_revision
        while True:
            changed, broken = self._changed, self._break
            for change in self.changes[after:]:
                if request.model in {"", change.model}:
                    yield pb.WatchResponse(change=change)
            after = len(self.changes)
            waits = {asyncio.ensure_future(changed.wait()), asyncio.ensure_future(broken.wait())}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if broken.is_set():
                raise ConnectionError

    async def _QuantizeModel(self, request):  # noqa: N802 - the protocol's name
        self._find(request.model, request.selector)
        for step in self.steps:
            yield step

    # The operator's part.

    def _GetServerStatus(self, _):  # noqa: N802 - the protocol's name
        return self.status

    def _LoadModel(self, request):  # noqa: N802 - the protocol's name
        version = self._find(request.model, request.selector)[1]
        return admin_pb2.LoadModelResponse(versions=[_status(version)])

    def _UnloadModel(self, request):  # noqa: N802 - the protocol's name
        held, _ = self._find(request.model)
        gone = self._find(request.model, request.selector)[1].version if request.selector else None
        left = [v for v in held.versions if gone is not None and v.version != gone]
        return admin_pb2.UnloadModelResponse(versions=[_status(version) for version in left])

    def _ListAudit(self, request):  # noqa: N802 - the protocol's name
        found = [change for change in self.changes if request.model in {"", change.model}]
        found = [change for change in found if change.revision > request.after_revision]
        page = found[: request.page_size]
        entries = []
        for change in page:
            entry = admin_pb2.AuditEntry(previous_hash="00" * 32, hash=f"{change.revision:064x}")
            for field in ("revision", "actor", "action", "model", "version", "before_json", "after_json"):
                setattr(entry, field, getattr(change, field))
            entry.at.seconds = STARTED_AT_S
            entries.append(entry)
        return admin_pb2.ListAuditResponse(
            entries=entries, next_revision=page[-1].revision if len(found) > len(page) else 0
        )

    def _VerifyAudit(self, _):  # noqa: N802 - the protocol's name
        return self.audit


def _status(version: pb.ModelVersion) -> admin_pb2.ModelStatus:
    return admin_pb2.ModelStatus(
        model=version.model,
        version=version.version,
        version_number=version.version_number,
        state=admin_pb2.MODEL_STATE_READY,
    )


async def _abort(context, error: ServerError) -> None:
    status = status_of(error)
    await context.abort(status.code, status.message, status.trailers())


class FakeRegistryThread:
    """The same in a thread of its own, for callers that wait: `with FakeRegistryThread() as fake`."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self._credentials = credentials

    def __enter__(self) -> FakeRegistry:
        ready: list[FakeRegistry] = []
        started = threading.Event()

        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with FakeRegistry(self._credentials) as fake:
                ready.append(fake)
                started.set()
                await self._stop.wait()

        self._thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        self._thread.start()
        assert started.wait(60)
        return ready[0]

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
