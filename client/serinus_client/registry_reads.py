"""What can be asked of the registry: models, versions, cards, files, and what changes."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from serinus_api.v1 import registry_pb2 as pb
from serinus_client.bundle import StrPath
from serinus_client.download import Download
from serinus_client.session import Session
from serinus_client.upload import OnProgress
from serinus_client.watch import watch

DOWNLOAD_S = 3600.0  # gigabytes over a slow line

SERVICE = "/serinus.v1.RegistryService/"
_PAGE = 100

M = TypeVar("M", bound=Message)
Bounds = Mapping[str, tuple[float | None, float | None]]
"""Least and most of a metric by its name; None for no bound."""


class RegistryReads:
    """The calls that change nothing; `AsyncRegistry` says what their arguments mean."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    async def model(self, model: str, *, timeout_s: float | None = None) -> pb.RegisteredModel:
        """One model with all of its versions.

        Raises:
            NotFound: it is not registered.
        """
        request = pb.GetModelRequest(model=model)
        return (await self._ask("GetModel", request, pb.GetModelResponse, timeout_s)).model

    async def models(self, *, timeout_s: float | None = None) -> AsyncGenerator[pb.RegisteredModel, None]:
        """All models by name, page by page; `timeout_s` is for each page."""
        request = pb.ListModelsRequest(page_size=_PAGE)
        while True:
            page = await self._ask("ListModels", request, pb.ListModelsResponse, timeout_s)
            for model in page.models:
                yield model
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def version(self, model: str, selector: str = "", *, timeout_s: float | None = None) -> pb.ModelVersion:
        """The version that a selector means.

        Raises:
            NotFound: it means none.
        """
        request = pb.GetVersionRequest(model=model, selector=selector)
        return (await self._ask("GetVersion", request, pb.GetVersionResponse, timeout_s)).version

    async def versions(
        self,
        model: str,
        *,
        within: str = "",
        tags: Mapping[str, str] | None = None,
        framework: str = "",
        metrics: Bounds | None = None,
        include_archived: bool = False,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[pb.ModelVersion, None]:
        """The versions that satisfy every filter given, newest number first, page by page.

        Args:
            model: The model's name.
            within: A range such as "^1.2" or ">=1.2 <1.5".
            tags: All must be there, with these texts.
            framework: What the framework starts with, in any case.
            metrics: Bounds by name.
            include_archived: Archived ones as well.
            timeout_s: Seconds for each page.
        """
        request = pb.ListVersionsRequest(
            model=model,
            range=within,
            tags=tags,
            framework=framework,
            metrics=[
                pb.MetricBound(name=name, at_least=least, at_most=most)
                for name, (least, most) in (metrics or {}).items()
            ],
            include_archived=include_archived,
            page_size=_PAGE,
        )
        while True:
            page = await self._ask("ListVersions", request, pb.ListVersionsResponse, timeout_s)
            for version in page.versions:
                yield version
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def card(self, model: str, selector: str = "", *, timeout_s: float | None = None) -> pb.GetCardResponse:
        """The model card of a version, markdown, and which version it is about."""
        request = pb.GetCardRequest(model=model, selector=selector)
        return await self._ask("GetCard", request, pb.GetCardResponse, timeout_s)

    async def download(
        self,
        model: str,
        selector: str,
        path: str,
        to: StrPath,
        *,
        on_progress: OnProgress | None = None,
        timeout_s: float = DOWNLOAD_S,
    ) -> Path:
        """Fetch one file of a version and return where it is: `to`, or in it where that is a folder.

        The file is there only once its hash is right. What an interrupted download leaves lies beside it, under a
        hidden name, and the next one goes on from there.

        Args:
            model: The model's name.
            selector: Which version.
            path: Which of its files; "" for the ONNX file.
            to: A folder that is there, or the file's new name.
            on_progress: Called with bytes that are there and bytes in all, in the client's event loop.
            timeout_s: Seconds for all of it.

        Raises:
            DataLost: what arrived is something else; it is not kept.
            OSError: it cannot be written.
            SerinusError: it did not arrive.
        """
        session = self._session()
        version = await self.version(model, selector)
        fetch = Download(session, version, path, Path(to), on_progress or nobody)
        return await fetch.run(timeout_s=timeout_s)

    async def watch(self, *, after_revision: int = 0, model: str = "") -> AsyncGenerator[pb.Change, None]:
        """Each change after a revision once, in order, those already made first; over lost connections, for ever.

        Raises:
            SerinusError: the server said no, or was away for longer than the client's retries bridge.
        """
        changes = watch(self._session(), after_revision=after_revision, model=model)
        async with contextlib.aclosing(changes):
            async for change in changes:
                yield change

    async def _ask(self, method: str, request: Message, answer: type[M], timeout_s: float | None) -> M:
        return await self._session().ask(SERVICE + method, request, answer, timeout_s=timeout_s)


def nobody(_done_bytes: int, _total_bytes: int) -> None:
    """Nobody wants to know how far it is."""
