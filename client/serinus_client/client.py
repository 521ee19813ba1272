"""The asynchronous client."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy.typing as npt

from serinus_client.admin import AsyncAdmin
from serinus_client.codec import decode_outputs
from serinus_client.criticality import Criticality
from serinus_client.model_info import ModelInfo
from serinus_client.options import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_S,
    FrameLimits,
    Settings,
    Spread,
    Tls,
    Transport,
)
from serinus_client.prediction import Prediction
from serinus_client.registry import AsyncRegistry
from serinus_client.retry import RetryPolicy
from serinus_client.session import Session
from serinus_client.targets import joined


class AsyncClient:
    """Calls models from one event loop: `async with AsyncClient("host:8001") as client: ...`.

    Any number of tasks may call at once; calls that wait together travel together. A call whose task is cancelled is
    cancelled on the server and disturbs no other. Leaving the block ends the calls still open with `Unavailable`.

    Args:
        target: "host:port"; several replicas as "host1:port,host2:port" or a sequence; "dns:///host:port" for all
            addresses of a name. Calls are spread over all replicas, and over the workers of each.
        tls: An encrypted connection; None for plaintext.
        credentials: The same in gRPC's own words, for what `Tls` does not say; not both.
        metadata: Sent with every unary call and every stream, keys in lower case.
        timeout_s: Seconds for a call that names no time of its own.
        retry: How failed calls are tried again; `NO_RETRIES` for not at all.
        transport: How calls travel that do not choose.
        frame_limits: How much goes into one message.
        spread: How calls are spread over replicas and workers.
        tenant: On whose account calls are that name nobody themselves.
        criticality: Of calls that name none themselves; None for what their metadata says, or else "default".
        rng: Draws the jitter of retries.
        sleep: Waits that many seconds before a retry.

    Attributes:
        admin: The operator's calls.
        registry: Models, their versions, and the names for them.
    """

    def __init__(
        self,
        target: str | Sequence[str] = DEFAULT_TARGET,
        *,
        tls: Tls | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry: RetryPolicy | None = None,
        transport: Transport = Transport.FRAMES,
        frame_limits: FrameLimits | None = None,
        spread: Spread | None = None,
        tenant: str = "",
        criticality: str | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if tls is not None and credentials is not None:
            raise ValueError("tls and credentials: expected at most one")
        self._settings = Settings(
            target=joined(target),
            credentials=tls.credentials() if tls is not None else credentials,
            server_name=tls.server_name if tls is not None else "",
            metadata=tuple(metadata),
            timeout_s=timeout_s,
            transport=transport,
            frame_limits=frame_limits or FrameLimits(),
            retry=retry or RetryPolicy(),
            spread=spread or Spread(),
        )
        self._tenant = tenant
        self._criticality = None if criticality is None else Criticality.named(criticality)
        self._rng = rng or random.SystemRandom()
        self._sleep = sleep
        self._session: Session | None = None
        self.admin = AsyncAdmin(self._here)
        self.registry = AsyncRegistry(self._here)

    def __repr__(self) -> str:
        return f"<AsyncClient {self._settings.target} [{'closed' if self._session is None else 'open'}]>"

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise RuntimeError("this client is open already")
        self._session = Session(self._settings, rng=self._rng, sleep=self._sleep)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the calls still open, and the connection. A closed client can be entered again."""
        if self._session is not None:
            session, self._session = self._here(), None
            await session.close()

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: str = "",
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
        routing_key: str = "",
        attributes: Mapping[str, str] | None = None,
        priority: int = 0,
        criticality: str | None = None,
        tenant: str | None = None,
        request_id: str = "",
        transport: Transport | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """Make one prediction and return its outputs; arguments and errors as in `call`."""
        response = await self._here().predict(
            model,
            inputs,
            version=version,
            outputs=outputs,
            timeout_s=timeout_s,
            routing_key=routing_key,
            attributes=attributes,
            priority=priority,
            criticality=self._criticality if criticality is None else Criticality.named(criticality),
            tenant=self._tenant if tenant is None else tenant,
            request_id=request_id,
            transport=transport,
        )
        return decode_outputs(response)

    async def call(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: str = "",
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
        routing_key: str = "",
        attributes: Mapping[str, str] | None = None,
        priority: int = 0,
        criticality: str | None = None,
        tenant: str | None = None,
        request_id: str = "",
        transport: Transport | None = None,
    ) -> Prediction:
        """Make one prediction and return the whole answer.

        Args:
            model: The model's name.
            inputs: What to predict from, by input name, the batch axis included. Arrays of the model's type pass as
                they are, lists and Python numbers take it; see `serinus_client.casting` for the rules.
            version: "" lets the server choose; "1.2.0" names a version, "stable" an alias.
            outputs: The outputs wanted, in the order wanted; () for all.
            timeout_s: Seconds to wait, all tries included, at most a year; None for the client's own.
            routing_key: Calls that share it are served by the same version while a rollout goes on.
            attributes: What the caller says of itself, such as its cohort, for the rules of a rollout; at most 16.
            priority: 1 is the most urgent; 0 takes the model's default.
            criticality: Who is refused first when not all calls can be answered: "sheddable", then "default", then
                "critical"; None for the client's own.
            tenant: On whose account the call is; tenants share a full server fairly. "" for nobody's, None for the
                client's own.
            request_id: Echoed, at most 256 bytes.
            transport: How the call travels; None for the client's own.

        Raises:
            SerinusError: the call ended without an answer; `serinus_client.errors` draws the tree.
            ValueError: `timeout_s` is not a number, or there is no such criticality.
        """
        response = await self._here().predict(
            model,
            inputs,
            version=version,
            outputs=outputs,
            timeout_s=timeout_s,
            routing_key=routing_key,
            attributes=attributes,
            priority=priority,
            criticality=self._criticality if criticality is None else Criticality.named(criticality),
            tenant=self._tenant if tenant is None else tenant,
            request_id=request_id,
            transport=transport,
        )
        return Prediction.from_message(response)

    async def model_info(self, model: str, *, version: str = "", timeout_s: float | None = None) -> ModelInfo:
        """Ask what a model takes and gives now, and which of its versions serve.

        Raises:
            SerinusError: the server did not say.
        """
        return await self._here().model_info(model, version, timeout_s=timeout_s)

    def _here(self) -> Session:
        """The open session, if the caller is in its loop."""
        session = self._session
        if session is None:
            raise RuntimeError("this client is not open: use it inside `async with`")
        if session.loop is not asyncio.get_running_loop():
            raise RuntimeError("this client belongs to another event loop: open one client in each loop")
        return session
