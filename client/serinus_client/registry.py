"""The registry's calls: what can be asked, and here what writes."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from serinus_api.v1 import registry_pb2 as pb
from serinus_client.actor import default_actor
from serinus_client.bundle import MoreFiles, StrPath, gather
from serinus_client.quantization import calibration_tensors
from serinus_client.registry_reads import SERVICE, M, RegistryReads, nobody
from serinus_client.retry import Repeat
from serinus_client.upload import OnProgress, hashed, upload

REGISTER_S = 3600.0  # gigabytes over a slow line, and the server's look at the model
QUANTIZE_S = 6 * 3600.0  # a dozen recipes of a large model, each measured


class AsyncRegistry(RegistryReads):
    """The registry behind an `AsyncClient`.

    Answers are the protocol's own messages; `protos/serinus_api/v1/registry.proto` describes their fields. Wherever a
    `selector` is asked for, "" means the alias `stable`, or else the highest version; `latest`, an alias, "1.2.0", a
    version's number and a range such as "^1.2" mean what they say. `expected_revision` is the model's revision that the
    caller has read: when the model has changed since, a write ends with `Conflict`. `actor` says who writes, for the
    audit; "" stands for this user on this machine.

    Lists and lookups are tried again like predictions, and so is `register`, because doing it twice is doing it once.
    Other writes are tried again only where the server says that it did nothing.
    """

    async def register(
        self,
        model: str,
        path: StrPath,
        version: str,
        *,
        facts: str | Mapping[str, Any] = "",
        main: str = "",
        files: MoreFiles = None,
        goldens: Iterable[StrPath] = (),
        aliases: Sequence[str] = (),
        force_version: bool = False,
        expected_revision: int | None = None,
        actor: str = "",
        on_progress: OnProgress | None = None,
        timeout_s: float = REGISTER_S,
    ) -> pb.RegisterModelResponse:
        """Register a version. The same files and facts again change nothing and succeed.

        Args:
            model: The model's name.
            path: An ONNX file, taken with the files that it keeps weights in; or a folder, taken whole.
            version: Semantic, such as "1.2.0".
            facts: What is known about the version: YAML, or the same as a mapping.
            main: In a folder the ONNX file, where there are several.
            files: More files: a folder, or file by path in the bundle.
            goldens: Golden requests, .npz.
            aliases: Set in the same write.
            force_version: Take the version although the change demands a larger one.
            expected_revision: See the class.
            actor: See the class.
            on_progress: Called with bytes sent and bytes to send, in the client's event loop.
            timeout_s: Seconds for all of it.

        Raises:
            InvalidInput: a file is not there, or the protocol does not allow what was said.
            Refused: the server does not take it; the sentence says why.
            AlreadyExists: the version is there with other bytes or facts.
            Conflict: the model has changed since `expected_revision`.
            SerinusError: anything else.
        """
        session = self._session()
        bundle = await asyncio.to_thread(gather, path, main=main, files=files, goldens=goldens)
        header = pb.RegisterModelHeader(
            model=model,
            version=version,
            files=await hashed(bundle),
            main=bundle.main,
            # JSON is YAML as well.
            facts_yaml=facts if isinstance(facts, str) else json.dumps(facts, ensure_ascii=False),
            goldens=bundle.goldens,
            force_version=force_version,
            aliases=aliases,
            expected_revision=expected_revision,
            actor=actor or default_actor(),
        )
        attempt = functools.partial(upload, session, bundle, header, on_progress=on_progress or nobody)
        # Even with a revision: the server looks first whether this very version is there.
        return await session.repeated(attempt, timeout_s=timeout_s, repeat=Repeat.LOST)

    async def set_alias(
        self,
        model: str,
        alias: str,
        selector: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.RegisteredModel:
        """Let an alias name the version that a selector means now.

        Raises:
            ValueError: `selector` is "", which on the wire would remove the alias.
        """
        if not selector:
            raise ValueError("selector: expected a version, got ''; `remove_alias` removes an alias")
        return await self._move_alias(model, alias, selector, expected_revision, actor, timeout_s)

    async def remove_alias(
        self,
        model: str,
        alias: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.RegisteredModel:
        """Let an alias name nothing."""
        return await self._move_alias(model, alias, "", expected_revision, actor, timeout_s)

    async def _move_alias(
        self, model: str, alias: str, selector: str, expected_revision: int | None, actor: str, timeout_s: float | None
    ) -> pb.RegisteredModel:
        request = pb.SetAliasRequest(
            model=model, alias=alias, selector=selector, expected_revision=expected_revision, actor=_who(actor)
        )
        return (await self._tell("SetAlias", request, pb.SetAliasResponse, timeout_s)).model

    async def set_tags(
        self,
        model: str,
        selector: str,
        tags: Mapping[str, str] | None = None,
        *,
        remove: Sequence[str] = (),
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelVersion:
        """Add or change `tags` of a version and take those named by `remove` away; the others stay."""
        request = pb.SetTagsRequest(
            model=model,
            selector=selector,
            set=tags,
            remove=remove,
            expected_revision=expected_revision,
            actor=_who(actor),
        )
        return (await self._tell("SetTags", request, pb.SetTagsResponse, timeout_s)).version

    async def archive(
        self,
        model: str,
        selector: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelVersion:
        """Hide a version from lists and selectors; it keeps serving while an alias names it."""
        request = pb.ArchiveVersionRequest(
            model=model, selector=selector, expected_revision=expected_revision, actor=_who(actor)
        )
        return (await self._tell("ArchiveVersion", request, pb.ArchiveVersionResponse, timeout_s)).version

    async def restore(
        self,
        model: str,
        selector: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelVersion:
        """Bring an archived version back."""
        request = pb.ArchiveVersionRequest(
            model=model, selector=selector, restore=True, expected_revision=expected_revision, actor=_who(actor)
        )
        return (await self._tell("ArchiveVersion", request, pb.ArchiveVersionResponse, timeout_s)).version

    async def delete(
        self,
        model: str,
        version: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> int:
        """Delete a version for good, by its semantic version alone; the model's revision since.

        Raises:
            Refused: an alias or a placement needs it (IN_USE).
        """
        request = pb.DeleteVersionRequest(
            model=model, version=version, expected_revision=expected_revision, actor=_who(actor)
        )
        return (await self._tell("DeleteVersion", request, pb.DeleteVersionResponse, timeout_s)).revision

    async def set_card_notes(
        self,
        model: str,
        selector: str,
        markdown: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelVersion:
        """Replace what was added to a version's card after it was registered."""
        request = pb.SetCardNotesRequest(
            model=model, selector=selector, markdown=markdown, expected_revision=expected_revision, actor=_who(actor)
        )
        return (await self._tell("SetCardNotes", request, pb.SetCardNotesResponse, timeout_s)).version

    async def quantize(
        self,
        model: str,
        selector: str = "",
        *,
        calibration: Mapping[str, Any] | None = None,
        traffic_rows: int = 0,
        traffic_timeout_s: float = 0.0,
        recipes: Sequence[str] = (),
        bounds: pb.QuantizationBounds | None = None,
        dry_run: bool = False,
        actor: str = "",
        timeout_s: float = QUANTIZE_S,
    ) -> AsyncGenerator[pb.QuantizeModelResponse, None]:
        """Let the server quantize a version and register the best result; its progress, and in the last one the report.

        Args:
            model: The model's name.
            selector: Which version.
            calibration: What to calibrate and compare with, by input name, rows along the batch axis; None for rows of
                traffic, or else the version's golden requests.
            traffic_rows: Rows to collect from the calls that come in.
            traffic_timeout_s: Longest time to collect them.
            recipes: Which to try; () for all that apply.
            bounds: What the result must keep and gain; None for the server's defaults.
            dry_run: Measure only.
            actor: See the class.
            timeout_s: Seconds for all of it.

        Raises:
            InvalidInput: the version does not take `calibration`.
            SerinusError: the server did not finish.
        """
        session = self._session()
        tensors = []
        if calibration:
            version = await self.version(model, selector)
            selector, tensors = version.version, calibration_tensors(version, calibration)
        request = pb.QuantizeModelRequest(
            model=model,
            selector=selector,
            calibration=tensors,
            traffic_rows=traffic_rows,
            traffic_timeout_s=traffic_timeout_s,
            recipes=recipes,
            bounds=bounds,
            dry_run=dry_run,
            actor=_who(actor),
        )
        steps = session.download(SERVICE + "QuantizeModel", request, pb.QuantizeModelResponse, timeout_s=timeout_s)
        async with contextlib.aclosing(steps):
            async for step in steps:
                yield step

    async def _tell(self, method: str, request: Message, answer: type[M], timeout_s: float | None) -> M:
        return await self._session().tell(SERVICE + method, request, answer, timeout_s=timeout_s)


def _who(actor: str) -> str:
    return actor or default_actor()
