"""The synchronous client: the asynchronous one, on an event loop in a thread of its own."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import numpy.typing as npt

from serinus_client.admin_sync import Admin
from serinus_client.client import AsyncClient
from serinus_client.errors import client_closed
from serinus_client.model_info import ModelInfo
from serinus_client.options import DEFAULT_TARGET, DEFAULT_TIMEOUT_S, FrameLimits, Spread, Tls, Transport
from serinus_client.prediction import Prediction
from serinus_client.registry_sync import Registry
from serinus_client.retry import RetryPolicy

T = TypeVar("T")


class Client:
    """Calls models from any number of threads: `with Client("host:8001") as client: ...`.

    Calls of threads that wait together travel together. Leaving the block ends the calls still open with
    `Unavailable`. Arguments, answers and errors are those of `AsyncClient`.

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
    ) -> None:
        self._client = AsyncClient(
            target,
            tls=tls,
            credentials=credentials,
            metadata=metadata,
            timeout_s=timeout_s,
            retry=retry,
            transport=transport,
            frame_limits=frame_limits,
            spread=spread,
            tenant=tenant,
            criticality=criticality,
        )
        self._thread: LoopThread | None = None
        self.admin = Admin(self._run, self._client.admin)
        self.registry = Registry(self._run, self._client.registry)

    def __repr__(self) -> str:
        return f"<Client of {self._client!r}>"

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError("this client is open already")
        self._thread = LoopThread(self._client)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the calls still open, the connection and the thread. A closed client can be entered again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()

    def predict(
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
        """Make one prediction and return its outputs; see `AsyncClient.call`."""
        return self._run(
            self._client.predict(
                model,
                inputs,
                version=version,
                outputs=outputs,
                timeout_s=timeout_s,
                routing_key=routing_key,
                attributes=attributes,
                priority=priority,
                criticality=criticality,
                tenant=tenant,
                request_id=request_id,
                transport=transport,
            )
        )

    def call(
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
        """Make one prediction and return the whole answer; see `AsyncClient.call`."""
        return self._run(
            self._client.call(
                model,
                inputs,
                version=version,
                outputs=outputs,
                timeout_s=timeout_s,
                routing_key=routing_key,
                attributes=attributes,
                priority=priority,
                criticality=criticality,
                tenant=tenant,
                request_id=request_id,
                transport=transport,
            )
        )

    def model_info(self, model: str, *, version: str = "", timeout_s: float | None = None) -> ModelInfo:
        """Ask what a model takes and gives now; see `AsyncClient.model_info`."""
        return self._run(self._client.model_info(model, version=version, timeout_s=timeout_s))

    def _run(self, job: Coroutine[Any, Any, T], /) -> T:
        thread = self._thread
        if thread is None:
            job.close()
            raise RuntimeError("this client is not open: use it inside `with`")
        return thread.run(job)


class LoopThread:
    """An event loop in a daemon thread, with `client` open in it from construction to `close`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._stop = asyncio.Event()
        # Between `close` and the loop's end, nothing may be handed to the loop: it would never run.
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._main, name="serinus-client", daemon=True)
        self._thread.start()
        self._loop = self._started.result()

    def run(self, job: Coroutine[Any, Any, T]) -> T:
        """Run `job` on the loop and wait for it.

        Raises:
            Unavailable: the client was closed meanwhile.
        """
        if threading.current_thread() is self._thread:
            job.close()
            raise RuntimeError("a synchronous client cannot be called from its own event loop")
        with self._lock:
            if self._is_closed:
                job.close()
                raise client_closed()
            future = asyncio.run_coroutine_threadsafe(job, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise client_closed() from None
        except BaseException:
            future.cancel()  # nothing, unless this thread was interrupted while it waited
            raise

    def close(self) -> None:
        """End the calls still open, then the loop and the thread."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _main(self) -> None:
        asyncio.run(self._hold())

    async def _hold(self) -> None:
        try:
            async with self._client:
                self._started.set_result(asyncio.get_running_loop())
                await self._stop.wait()
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
