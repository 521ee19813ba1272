"""`serinus health`: whether a server, each of its services and each of its models would take a call now."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serinus.cli.json_option import JsonOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, plain_table, print_json
from serinus.cli.states import ON_PURPOSE, state_name
from serinus.cli.target import ANSWER_S, Server, connected, server_command, unreachable
from serinus_api.v1 import admin_pb2, predict_pb2, registry_pb2

SERVING = "SERVING"
_SERVICES = (
    predict_pb2.DESCRIPTOR.services_by_name["PredictService"].full_name,
    registry_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
    "inference.GRPCInferenceService",
)
_GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
_ABSENT = {
    grpc.StatusCode.NOT_FOUND: "SERVICE_UNKNOWN",
    grpc.StatusCode.UNIMPLEMENTED: "NO_HEALTH_SERVICE",
}


@dataclasses.dataclass(frozen=True)
class Health:
    """What a server says about itself.

    Attributes:
        server: Its address.
        overall: Its status as a whole, a word of `grpc.health.v1`.
        services: Status by service.
        models: State of the best version by model; why, where it is not READY.
    """

    server: str
    overall: str
    services: dict[str, str]
    models: dict[str, tuple[str, str]]

    @property
    def is_healthy(self) -> bool:
        """Whether everything would take a call now."""
        states = (state for state, reason in self.models.values() if reason not in ON_PURPOSE)
        return {self.overall, *self.services.values()} == {SERVING} and set(states) <= {"READY"}


@server_command
def health(
    *,
    server: Server,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait.")] = ANSWER_S,
    as_json: JsonOption = False,
) -> None:
    """Ask a server how it is: exit code 0 healthy, 1 not, 3 unreachable."""
    with connected(server) as client:
        overall, services = check_services(server, timeout_s)
        found = client.admin.server_status(timeout_s=timeout_s)
    report = Health(server.address, overall, services, best_states(found.models))
    if as_json:
        print_json(_document(report))
    else:
        _print(report)
    if not report.is_healthy:
        raise typer.Exit(ExitCode.FAILED)


def check_services(server: Server, timeout_s: float) -> tuple[str, dict[str, str]]:
    """Ask `grpc.health.v1` about the server and each of its services.

    Raises:
        CommandFailed: the server cannot be reached.
    """
    with _channel(server) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types leave the methods out
        found = {}
        for service in ("", *_SERVICES):
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
            except grpc.RpcError as error:
                if error.code() in _GONE:
                    raise CommandFailed(unreachable(server.address), code=ExitCode.UNREACHABLE) from error
                found[service] = _ABSENT.get(error.code(), error.code().name)
            else:
                found[service] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return found.pop(""), found


def _channel(server: Server) -> grpc.Channel:
    if server.tls is None:
        return grpc.insecure_channel(server.address)
    name = server.tls.server_name
    options = (("grpc.ssl_target_name_override", name),) if name else ()
    return grpc.secure_channel(server.address, server.tls.credentials(), options)


def best_states(models: Iterable[admin_pb2.ModelStatus]) -> dict[str, tuple[str, str]]:
    """For each model the state of a version that is ready, or else of its newest, and why."""
    best: dict[str, tuple[str, str]] = {}
    for model in models:
        state = state_name(model.state)
        if model.model not in best or (state == "READY" != best[model.model][0]):
            best[model.model] = (state, model.reason)
    return best


def _document(report: Health) -> dict[str, object]:
    return {
        "server": report.server,
        "healthy": report.is_healthy,
        "status": report.overall,
        "services": report.services,
        "models": {name: {"state": state, "reason": reason} for name, (state, reason) in report.models.items()},
    }


def _print(report: Health) -> None:
    table = plain_table("", "STATUS", "REASON")
    rows: Sequence[tuple[str, str, str]] = [
        (f"server {report.server}", report.overall, ""),
        *((f"service {name}", status, "") for name, status in report.services.items()),
        *((f"model {name}", state, reason) for name, (state, reason) in report.models.items()),
    ]
    for what, status, reason in rows:
        good = status in {SERVING, "READY"}
        table.add_row(cell(what), cell(status, "green" if good else "red"), cell(reason))
    out = console()
    out.print(table)
    out.print("healthy" if report.is_healthy else "not healthy", style="green" if report.is_healthy else "red")
