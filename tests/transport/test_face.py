"""What a server registers: every method of every .proto file, each as the kind that it is there."""

import io
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from open_inference import grpc_service_pb2
from serinus.config.sections import LimitSettings
from serinus.lifecycle.models import Models
from serinus.telemetry.logs import Logs, configure_logs
from serinus.telemetry.metrics import Metrics
from serinus.transport.admin.service import ServerFacts
from serinus.transport.drain import Drain
from serinus.transport.face import Face, FaceParts
from serinus.transport.registry.ports import RegistryParts
from serinus_api.v1 import admin_pb2, predict_pb2, registry_pb2
from tests.lifecycle.fake_servables import FakeLoader
from tests.transport.registry.registry_fakes import (
    FakeArtifacts,
    FakePlacements,
    FakeQuantizer,
    FakeRegistry,
    FakeUploads,
)
from tests.transport.rollouts.rollout_fakes import ports


class Sources:
    """A repository without a model."""

    async def load(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        """Nobody asks."""


@pytest.fixture
def logs() -> Iterator[Logs]:
    made = configure_logs(io.StringIO(), json=True)
    yield made
    made.close()


def face(logs: Logs) -> Face:
    metrics = Metrics(CollectorRegistry())
    models = Models(FakeLoader(), refused=metrics.refused, forget=metrics.forget)
    return Face(
        FaceParts(
            models=models,
            predictor=models,
            sources=Sources(),
            metrics=metrics,
            logs=logs,
            drain=Drain(),
            limits=LimitSettings(),
            facts=ServerFacts(version="1.2.3", started_unix_s=0.0, compute_threads=1),
            registry=registry_parts(),
            rollouts=ports(),
        )
    )


def registry_parts() -> RegistryParts:
    registry = FakeRegistry()
    return RegistryParts(
        reads=registry,
        writes=registry,
        audit=registry,
        uploads=FakeUploads(),
        artifacts=FakeArtifacts(),
        changes=registry,
        placements=FakePlacements(),
        quantizations=FakeQuantizer(),
    )


def kinds(found: Face) -> dict[str, tuple[bool, bool]]:
    """Whether requests and answers stream, by method, of every method in the .proto files that has a handler."""
    handlers = found.handlers()
    seen: dict[str, tuple[bool, bool]] = {}
    for service in described():
        for method in service.methods:
            details = Details(f"/{service.full_name}/{method.name}")
            for handler in filter(None, (each.service(details) for each in handlers)):
                seen[details.method] = (handler.request_streaming, handler.response_streaming)
    return seen


class Details(grpc.HandlerCallDetails):
    """A call of a method."""

    def __init__(self, method: str) -> None:
        self.method = method


def described() -> list[Any]:
    files: tuple[Any, ...] = (predict_pb2, admin_pb2, registry_pb2, grpc_service_pb2)
    return [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]


async def test_every_method_is_there_as_the_kind_that_it_is(logs: Logs):
    """A unary method that is registered as a stream would fail at its first call alone."""
    methods = [method for service in described() for method in service.methods]
    expected = {
        f"/{method.containing_service.full_name}/{method.name}": (method.client_streaming, method.server_streaming)
        for method in methods
    }
    assert kinds(face(logs)) == expected


async def test_health_and_reflection_know_every_service(logs: Logs):
    """Those that the .proto files describe."""
    assert sorted(face(logs).service_names) == sorted(service.full_name for service in described())
