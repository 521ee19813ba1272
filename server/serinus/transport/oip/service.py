"""inference.GRPCInferenceService: what Triton's, KServe's and MLServer's clients speak. All 20 RPCs answer."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import grpc

from open_inference import grpc_service_pb2 as oip
from serinus.core.errors import InvalidInput, Loading, NotFound, NotLoaded, Unsupported
from serinus.lifecycle.models import Models
from serinus.telemetry.logs import Logs, LogSwitches
from serinus.transport.guard import Context, UnaryMethod
from serinus.transport.of_all_workers import OfAll, Others, no_others
from serinus.transport.oip.describe import EXTENSIONS, model_config, model_metadata, model_statistics
from serinus.transport.oip.infer import OipInfer
from serinus.transport.oip.log_settings import log_settings
from serinus.transport.oip.merging import joined_index, joined_readiness, joined_statistics
from serinus.transport.service import service, typed

NAME = "inference.GRPCInferenceService"

_NO_SHARED_MEMORY = "shared memory is not supported; send the tensors' bytes in the message"
_NO_TRACE = "tracing cannot be set over this protocol"


class Repository(Protocol):
    """Where models come from when a client asks for one by name."""

    async def load_as_told(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        """Read a model again and serve it."""
        ...

    async def unload_all(self, model: str) -> None:
        """Stop serving a model; returns when the calls inside are answered."""
        ...


SayLogs = Callable[[LogSwitches], Awaitable[None]]
"""Has all other workers write what these switches show; Draining where they cannot be told."""


async def nobody_to_say_it_to(_switches: LogSwitches) -> None:
    """There are no other workers."""


class OipService:
    """The control RPCs over `models` and `repository`; inference goes to `infer`.

    Attributes:
        of_all: By name, the methods that are answered for all workers, `others` included.
    """

    def __init__(
        self,
        *,
        models: Models,
        repository: Repository,
        infer: OipInfer,
        logs: Logs,
        is_ready: Callable[[], bool],
        server_version: str,
        others: Others = no_others,
        say_logs: SayLogs = nobody_to_say_it_to,
    ) -> None:
        self._models = models
        self._repository = repository
        self._infer = infer
        self._logs = logs
        self._is_ready = is_ready
        self._server_version = server_version
        self._say_logs = say_logs
        ready = OfAll(
            "ModelReady", oip.ModelReadyRequest, oip.ModelReadyResponse, self._model_ready, joined_readiness, others
        )
        statistics = OfAll(
            "ModelStatistics",
            oip.ModelStatisticsRequest,
            oip.ModelStatisticsResponse,
            self._model_statistics,
            joined_statistics,
            others,
        )
        index = OfAll(
            "RepositoryIndex",
            oip.RepositoryIndexRequest,
            oip.RepositoryIndexResponse,
            self._index,
            joined_index,
            others,
        )
        self.of_all: Mapping[str, OfAll[Any, Any]] = {each.name: each for each in (ready, statistics, index)}

    def handler(self, arrive: Callable[[], None]) -> grpc.GenericRpcHandler:
        """What a server registers; `arrive` is called for each call."""
        unary: dict[str, UnaryMethod] = {
            "ModelInfer": self._infer.infer,
            "ServerLive": typed(oip.ServerLiveRequest, lambda _: oip.ServerLiveResponse(live=True)),
            "ServerReady": typed(oip.ServerReadyRequest, lambda _: oip.ServerReadyResponse(ready=self._is_ready())),
            "ServerMetadata": typed(oip.ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": typed(oip.ModelMetadataRequest, self._model_metadata),
            "ModelConfig": typed(oip.ModelConfigRequest, self._model_config),
            "RepositoryModelLoad": typed(oip.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": typed(oip.RepositoryModelUnloadRequest, self._unload),
            "LogSettings": typed(oip.LogSettingsRequest, self._log_settings),
            "TraceSetting": _unsupported(_NO_TRACE),
        }
        unary |= {name: typed(method.asked, method) for name, method in self.of_all.items()}
        for memory in ("SystemSharedMemory", "CudaSharedMemory"):
            for action in ("Status", "Register", "Unregister"):
                unary[memory + action] = _unsupported(_NO_SHARED_MEMORY)
        return service(NAME, unary=unary, streams={"ModelStreamInfer": self._infer.stream}, arrive=arrive)

    async def _model_ready(self, asked: oip.ModelReadyRequest) -> oip.ModelReadyResponse:
        try:
            self._models.find(asked.name, asked.version)
        except (NotLoaded, Loading, NotFound):
            return oip.ModelReadyResponse(ready=False)
        return oip.ModelReadyResponse(ready=self._is_ready())

    def _server_metadata(self, _asked: oip.ServerMetadataRequest) -> oip.ServerMetadataResponse:
        return oip.ServerMetadataResponse(name="serinus", version=self._server_version, extensions=EXTENSIONS)

    def _model_metadata(self, asked: oip.ModelMetadataRequest) -> oip.ModelMetadataResponse:
        return model_metadata(self._models.find(asked.name, asked.version), self._models.serving(asked.name))

    def _model_config(self, asked: oip.ModelConfigRequest) -> oip.ModelConfigResponse:
        return oip.ModelConfigResponse(config=model_config(self._models.find(asked.name, asked.version)))

    async def _model_statistics(self, asked: oip.ModelStatisticsRequest) -> oip.ModelStatisticsResponse:
        if not asked.name:
            servables = self._models.serving()
        elif asked.version:
            servables = [self._models.find(asked.name, asked.version)]
        else:
            self._models.find(asked.name, "")
            servables = self._models.serving(asked.name)
        return oip.ModelStatisticsResponse(model_stats=[model_statistics(each.metrics) for each in servables])

    async def _index(self, asked: oip.RepositoryIndexRequest) -> oip.RepositoryIndexResponse:
        _refuse_repository_name(asked.repository_name)
        return oip.RepositoryIndexResponse(
            models=[
                oip.RepositoryIndexResponse.ModelIndex(
                    name=status.identity.model,
                    version=status.identity.number_text if status.identity.number else "",
                    state=status.state,
                    reason=status.reason,
                )
                for status in self._models.index()
            ]
        )

    async def _log_settings(self, asked: oip.LogSettingsRequest) -> oip.LogSettingsResponse:
        before = self._logs.switches
        answer = log_settings(asked, self._logs)
        if self._logs.switches != before:
            await self._say_logs(self._logs.switches)
        return answer

    async def _load(self, asked: oip.RepositoryModelLoadRequest) -> oip.RepositoryModelLoadResponse:
        _refuse_repository_name(asked.repository_name)
        config_json: str | None = None
        files: dict[str, bytes] = {}
        for key, value in asked.parameters.items():
            kind = value.WhichOneof("parameter_choice")
            if key == "config" and kind == "string_param":
                config_json = value.string_param
            elif key.startswith("file:") and kind == "bytes_param":
                files[key.removeprefix("file:")] = value.bytes_param
            else:
                raise InvalidInput(
                    f"parameter {key[:64]!r}: expected 'config' as a string or 'file:<path>' as bytes",
                    reason="WRONG_PARAMETER",
                    field=key,
                )
        await self._repository.load_as_told(asked.model_name, config_json, files)
        return oip.RepositoryModelLoadResponse()

    async def _unload(self, asked: oip.RepositoryModelUnloadRequest) -> oip.RepositoryModelUnloadResponse:
        _refuse_repository_name(asked.repository_name)
        await self._repository.unload_all(asked.model_name)
        return oip.RepositoryModelUnloadResponse()


def _refuse_repository_name(name: str) -> None:
    if name:
        raise NotFound("repository_name: expected none, this server has one repository", field="repository_name")


def _unsupported(sentence: str) -> UnaryMethod:
    async def unary(_message: bytes, _context: Context) -> bytes:
        raise Unsupported(sentence)

    return unary
