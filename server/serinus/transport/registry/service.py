"""serinus.v1.RegistryService: what is registered, and its changes, files and quantized forms."""

import contextlib
from collections.abc import AsyncGenerator

import grpc
from google.protobuf.message import Message

from serinus.core.artifact import check_sha256
from serinus.core.version import check_model_name
from serinus.registry.cards.card import render_card
from serinus.registry.records import ModelRecord, Page
from serinus.registry.sql.writing import selected
from serinus.threads import to_thread
from serinus.transport.callers import actor_of
from serinus.transport.calls import Calls
from serinus.transport.guard import Context, welcome
from serinus.transport.paging import fitting, name_of, page_of, token_of
from serinus.transport.registry.downloads import Downloads
from serinus.transport.registry.messages import model_message, whole_version
from serinus.transport.registry.ports import RegistryParts
from serinus.transport.registry.quantize_messages import order_of, step_message
from serinus.transport.registry.requests import MOST_FILES, check_count, filter_of, named
from serinus.transport.registry.uploads import UploadStreams
from serinus.transport.registry.watch import RecentChanges
from serinus.transport.registry.writes import RegistryWrites
from serinus.transport.service import service, typed_answers
from serinus_api.v1 import registry_pb2 as pb

NAME = "serinus.v1.RegistryService"


class RegistryService:
    """Answers for the registry: what there is, even while the server drains; changes and streams only before.

    Attributes:
        parts: What does the work.
        calls: How methods are called.
        max_inputs: Most inputs of calibration data.
        stall_s: Longest wait for the header of an upload.
    """

    def __init__(self, parts: RegistryParts, *, calls: Calls, max_inputs: int, stall_s: float = 60.0) -> None:
        self._reads = parts.reads
        self._artifacts = parts.artifacts
        self._quantizations = parts.quantizations
        self._calls = calls
        self._max_inputs = max_inputs
        self._writes = RegistryWrites(parts.reads, parts.writes)
        self._uploads = UploadStreams(parts.uploads, parts.reads, stall_s=stall_s)
        self._downloads = Downloads(parts.reads, parts.artifacts)
        self._recent = RecentChanges(parts.audit, parts.changes)

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server registers."""
        calls, read, write = self._calls, self._calls.read, self._calls.write
        return service(
            NAME,
            unary={
                "FindArtifacts": read(pb.FindArtifactsRequest, self._find_artifacts),
                "GetModel": read(pb.GetModelRequest, self._model),
                "ListModels": read(pb.ListModelsRequest, self._models),
                "GetVersion": read(pb.GetVersionRequest, self._version),
                "ListVersions": read(pb.ListVersionsRequest, self._versions),
                "GetCard": read(pb.GetCardRequest, self._card),
                "SetAlias": write(pb.SetAliasRequest, self._writes.set_alias),
                "SetTags": write(pb.SetTagsRequest, self._writes.set_tags),
                "SetCardNotes": write(pb.SetCardNotesRequest, self._writes.set_notes),
                "ArchiveVersion": write(pb.ArchiveVersionRequest, self._writes.archive),
                "DeleteVersion": write(pb.DeleteVersionRequest, self._writes.delete),
            },
            uploads={"RegisterModel": calls.upload(self._uploads.register)},
            answers={
                "DownloadArtifact": calls.answers(typed_answers(pb.DownloadArtifactRequest, self._download)),
                "QuantizeModel": calls.until_drained(
                    calls.answers(typed_answers(pb.QuantizeModelRequest, self._quantize))
                ),
                "Watch": calls.until_drained(typed_answers(pb.WatchRequest, self._watch)),
            },
            arrive=welcome,  # `calls` knows who still is
        )

    # What is there.

    async def _find_artifacts(self, asked: pb.FindArtifactsRequest) -> Message:
        check_count("sha256", len(asked.sha256), MOST_FILES)
        wanted = [check_sha256(each) for each in asked.sha256]
        present = await self._artifacts.has(wanted)
        return pb.FindArtifactsResponse(present=[each for each in dict.fromkeys(wanted) if each in present])

    async def _model(self, asked: pb.GetModelRequest) -> Message:
        record = await self._reads.model(check_model_name(asked.model))
        return pb.GetModelResponse(model=await to_thread(model_message, record))

    async def _models(self, asked: pb.ListModelsRequest) -> Message:
        size, token = page_of(asked.page_size, asked.page_token)
        after = name_of(token)

        async def page(most: int) -> Page[ModelRecord]:
            # One more than is shown tells whether there is more.
            found = tuple(await self._reads.models(after, most + 1))
            return Page(found[:most], token_of(found[most - 1].name) if len(found) > most else "")

        # First: whoever watches from it on misses nothing that the list has not.
        revision = await self._reads.current_revision()
        models, rest = await fitting(size, page, model_message)
        return pb.ListModelsResponse(models=models, next_page_token=rest, revision=revision)

    async def _version(self, asked: pb.GetVersionRequest) -> Message:
        model, selector = named(asked)
        record = await self._reads.model(model)
        version = await to_thread(whole_version, selected(record, selector), record.aliases)
        return pb.GetVersionResponse(version=version)

    async def _versions(self, asked: pb.ListVersionsRequest) -> Message:
        model, wanted = check_model_name(asked.model), filter_of(asked)
        size, token = page_of(asked.page_size, asked.page_token)
        aliases = (await self._reads.model(model)).aliases
        versions, rest = await fitting(
            size,
            lambda most: self._reads.versions(model, wanted, token, most),
            lambda record: whole_version(record, aliases),
        )
        return pb.ListVersionsResponse(versions=versions, next_page_token=rest)

    async def _card(self, asked: pb.GetCardRequest) -> Message:
        model, selector = named(asked)
        record = await self._reads.model(model)
        version = selected(record, selector)
        aliases = sorted(alias for alias, named in record.aliases.items() if named == version.identity)
        markdown = await to_thread(render_card, version, aliases=aliases)
        return pb.GetCardResponse(markdown=markdown, version=version.identity.version_text)

    # Streams.

    def _download(self, asked: pb.DownloadArtifactRequest, _: Context) -> AsyncGenerator[pb.DownloadArtifactResponse]:
        return self._downloads.download(asked)

    def _watch(self, asked: pb.WatchRequest, _: Context) -> AsyncGenerator[pb.WatchResponse]:
        if asked.model:
            check_model_name(asked.model)
        return self._recent.watch(asked)

    async def _quantize(
        self, asked: pb.QuantizeModelRequest, context: Context
    ) -> AsyncGenerator[pb.QuantizeModelResponse]:
        order = order_of(asked, actor_of(asked.actor, context), max_inputs=self._max_inputs)
        async with contextlib.aclosing(self._quantizations.quantize(order)) as steps:
            async for step in steps:
                yield step_message(step)
