"""The command line in this process, and one real server that it talks to."""

import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from serinus.cli.main import run
from tests.cli.server_process import ServerProcess
from tests.client.fake_registry import FakeRegistry, FakeRegistryThread
from tests.support import models


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """Model files by name, `tabular.onnx` and the like."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("tabular", "string_model", "two_inputs", "optional_input", "counted_loop", "poison"):
        (folder / f"{name}.onnx").write_bytes(getattr(models, name)())
    return folder


@pytest.fixture(scope="session")
def server(model_folder) -> Iterator[ServerProcess]:
    """One server for all tests that change nothing."""
    names = {"tab": "tabular", "text": "string_model", "two": "two_inputs", "spare": "optional_input", "sick": "poison"}
    flags = [f"--model={name}={file}.onnx" for name, file in names.items()]
    with ServerProcess(flags, model_folder) as process:
        yield process


@pytest.fixture
def serinus(capsys) -> Callable[..., Ended]:
    """Runs a command line in this process."""

    def serinus(*arguments: object) -> Ended:
        code = run([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return serinus


@pytest.fixture
def ask(serinus, server) -> Callable[..., Ended]:
    """Runs a command line that talks to the shared server."""
    return lambda *arguments: serinus(*arguments, "--server", server.target)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry in memory."""
    with FakeRegistryThread() as fake:
        yield fake


@pytest.fixture
def tell(serinus, registry) -> Callable[..., Ended]:
    """Runs a command line that talks to the registry in memory."""
    return lambda *arguments: serinus(*arguments, "--server", registry.target)


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address where nobody answers, and nobody else can listen meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, but not listening
        yield f"127.0.0.1:{bound.getsockname()[1]}"
