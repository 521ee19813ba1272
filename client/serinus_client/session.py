"""Everything that a client owns while it is open, bound to one event loop; `AsyncClient` is its face."""

import asyncio
import contextlib
import functools
import math
import random
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.background import Background
from serinus_client.catalog import Catalog
from serinus_client.criticality import Criticality
from serinus_client.encoder import Encoder
from serinus_client.errors import InvalidInput, SerinusError, ServerFault, client_closed
from serinus_client.frames import Frames
from serinus_client.model_info import ModelInfo
from serinus_client.options import LONGEST_TIMEOUT_S, Settings, Transport
from serinus_client.retry import Repeat, Retries

_PREDICT = "/serinus.v1.PredictService/Predict"
_GET_MODEL_INFO = "/serinus.v1.PredictService/GetModelInfo"

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class Session:
    """An open client. Made inside the event loop that uses it; ended by `close`.

    Args:
        settings: What the client was told.
        rng: Draws the jitter of retries.
        sleep: Waits that many seconds before a retry.

    Attributes:
        loop: The only loop that may use it.
    """

    def __init__(self, settings: Settings, *, rng: random.Random, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.loop = asyncio.get_running_loop()
        self._settings = settings
        self._background = Background()
        self._frames = Frames(settings, rng=rng, background=self._background)
        self._fleet = self._frames.fleet
        self._catalog = Catalog(self._fetch_info, background=self._background)
        self._sleep = sleep
        self._retries = Retries(settings.retry, rng=rng, clock=self.loop.time, sleep=self._pause)

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: str,
        outputs: Sequence[str],
        timeout_s: float | None,
        routing_key: str,
        attributes: Mapping[str, str] | None,
        priority: int,
        criticality: Criticality | None,
        tenant: str,
        request_id: str,
        transport: Transport | None,
    ) -> pb.PredictResponse:
        """Make one prediction; see `AsyncClient.call`."""
        deadline = self._deadline(timeout_s)
        chosen = self._settings.transport if transport is None else transport

        def encode(encoder: Encoder) -> tuple[pb.PredictFrame, int]:
            return encoder.encode(
                inputs,
                outputs,
                request_id=request_id,
                routing_key=routing_key,
                attributes=attributes,
                priority=priority,
                criticality=criticality,
                tenant=tenant,
            )

        attempt = functools.partial(self._attempt, model, version, encode, deadline, chosen)
        return await self._retries.run(attempt, deadline=deadline)

    async def _attempt(
        self,
        model: str,
        version: str,
        encode: Callable[[Encoder], tuple[pb.PredictFrame, int]],
        deadline: float,
        transport: Transport,
    ) -> pb.PredictResponse:
        """One try, and a second one if the model has changed since the client learned what it takes."""
        encoder = self._catalog.known(model, version)
        if encoder is None:
            encoder = await self._catalog.learn(model, version, deadline=deadline)
        try:
            return await self._carry(*encode(encoder), deadline, transport)
        except InvalidInput:
            newer = await self._catalog.relearn(encoder, deadline=deadline)
            if newer is None:
                raise
        return await self._carry(*encode(newer), deadline, transport)

    def _carry(
        self, frame: pb.PredictFrame, size_bytes: int, deadline: float, transport: Transport
    ) -> Awaitable[pb.PredictResponse]:
        if transport is Transport.FRAMES and size_bytes <= self._settings.frame_limits.size_bytes:
            return self._frames.carry(frame, size_bytes, deadline)
        return self._predict_alone(frame.calls[0].request, deadline)

    async def _predict_alone(self, request: pb.PredictRequest, deadline: float) -> pb.PredictResponse:
        timeout_s = deadline - self.loop.time()
        raw = await self._fleet.unary_in_turn(_PREDICT, request.SerializeToString(), timeout_s=timeout_s)
        return _parsed(pb.PredictResponse, raw)

    async def model_info(self, model: str, version: str, *, timeout_s: float | None) -> ModelInfo:
        """What a model takes and gives now."""
        request = pb.GetModelInfoRequest(model=model, version=version)
        return ModelInfo.from_message(
            await self.ask(_GET_MODEL_INFO, request, pb.GetModelInfoResponse, timeout_s=timeout_s)
        )

    async def ask(self, method: str, request: Message, answer: type[M], *, timeout_s: float | None) -> M:
        """Make a unary call that changes nothing, and so may be repeated.

        Raises:
            SerinusError: it ended without an answer.
        """
        attempt = functools.partial(self._unary, method, request, answer)
        return await self.repeated(attempt, timeout_s=timeout_s, repeat=Repeat.LOST)

    async def tell(self, method: str, request: Message, answer: type[M], *, timeout_s: float | None) -> M:
        """Make a unary call that writes, and so is repeated only where the server says that it did nothing.

        Raises:
            SerinusError: it ended without an answer; unless the server said no, it may have been done.
        """
        attempt = functools.partial(self._unary, method, request, answer)
        return await self.repeated(attempt, timeout_s=timeout_s, repeat=Repeat.REFUSED)

    async def repeated(self, attempt: Callable[[float], Awaitable[T]], *, timeout_s: float | None, repeat: Repeat) -> T:
        """Run `attempt`, which gets its deadline in the loop's time, as often as the rules of retries allow."""
        deadline = self._deadline(timeout_s)
        return await self._retries.run(functools.partial(attempt, deadline), deadline=deadline, repeat=repeat)

    async def upload(self, method: str, requests: AsyncIterable[Message], answer: type[M], deadline: float) -> M:
        """Stream `requests` and return the one answer; one try.

        Raises:
            SerinusError: it ended without an answer. What `requests` raises passes.
        """
        messages = (request.SerializeToString() async for request in requests)
        async with contextlib.aclosing(messages):
            raw = await self._fleet.upload(method, messages, timeout_s=deadline - self.loop.time())
        return _parsed(answer, raw)

    async def download(
        self, method: str, request: Message, answer: type[M], *, timeout_s: float | None
    ) -> AsyncGenerator[M, None]:
        """Make one call and yield its answers as they come; one try, and None waits for ever.

        Raises:
            SerinusError: it ended before its end.
        """
        answers = self._fleet.download(method, request.SerializeToString(), timeout_s=timeout_s)
        async with contextlib.aclosing(answers):
            async for raw in answers:
                yield _parsed(answer, raw)

    async def wait_before_retry(self, error: SerinusError, *, failures: int) -> None:
        """Wait until what has failed so many times in a row may be tried again, or raise `error` if it may not."""
        await self._retries.wait(error, failures=failures, deadline=math.inf)

    async def close(self) -> None:
        """End every open call with Unavailable, those before a retry included, then every task, then the channel."""
        await self._frames.close()
        await self._background.close()
        await self._fleet.close()

    async def _pause(self, wait_s: float) -> None:
        """Wait before a retry.

        Raises:
            Unavailable: the client was closed meanwhile.
        """

        async def sleep() -> None:
            await self._sleep(wait_s)

        pause = self._background.spawn(sleep())
        try:
            await asyncio.wait((pause,))
        finally:
            pause.cancel()
        if pause.cancelled():
            raise client_closed()

    async def _fetch_info(self, model: str, version: str) -> ModelInfo:
        request = pb.GetModelInfoRequest(model=model, version=version)
        deadline = self._deadline(None)
        return ModelInfo.from_message(await self._unary(_GET_MODEL_INFO, request, pb.GetModelInfoResponse, deadline))

    async def _unary(self, method: str, request: Message, answer: type[M], deadline: float) -> M:
        timeout_s = deadline - self.loop.time()
        raw = await self._fleet.unary(method, request.SerializeToString(), timeout_s=timeout_s)
        return _parsed(answer, raw)

    def _deadline(self, timeout_s: float | None) -> float:
        chosen_s = self._settings.timeout_s if timeout_s is None else timeout_s
        if math.isnan(chosen_s):
            raise ValueError(f"timeout_s: expected a number of seconds, got {chosen_s}")
        return self.loop.time() + min(chosen_s, LONGEST_TIMEOUT_S)


def _parsed(answer: type[M], raw: bytes) -> M:
    try:
        return answer.FromString(raw)
    except DecodeError as error:
        raise ServerFault("the server sent an answer that cannot be read", reason="MALFORMED_RESPONSE") from error
