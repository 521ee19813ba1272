"""What errors of calls mean at a command line."""

import json
from pathlib import Path

import grpc
import pytest

from serinus.cli.output import CommandFailed, ExitCode
from serinus.cli.target import Server, failure, read_server
from serinus_client import Conflict, DeadlineExceeded, NotFound, Overloaded, ServerFault, Tls, Unavailable
from tests.client.fake_registry import FakeRegistryThread

CERTIFICATE = Path(__file__).parents[1] / "client" / "tls" / "server.pem"
KEY = CERTIFICATE.with_suffix(".key")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (Unavailable("failed to connect"), ExitCode.UNREACHABLE, "no server answers at here:1: start one with"),
        (DeadlineExceeded("late"), ExitCode.UNREACHABLE, "the server at here:1 did not answer in time: check"),
        (Unavailable("the server is draining", reason="DRAINING"), ExitCode.FAILED, "the server is draining"),
        (DeadlineExceeded("nothing was sent", reason="UPLOAD_STALLED"), ExitCode.FAILED, "nothing was sent"),
        (Conflict("model 'a' is at revision 3, not at 1"), ExitCode.FAILED, "model 'a' is at revision 3"),
        (NotFound("model 'a': expected one"), ExitCode.FAILED, "model 'a': expected one"),
        (Overloaded("the queue is full"), ExitCode.FAILED, "the queue is full"),
        (ServerFault("internal error 7f3a"), ExitCode.FAILED, "internal error 7f3a"),
    ],
)
def test_only_silence_counts_as_unreachable(error, code, sentence):
    """A server that says no is there."""
    found = failure(error, "here:1")
    assert found.code == code
    assert found.sentences[0].startswith(sentence)


def test_the_flags_describe_how_a_server_is_reached(tmp_path):
    """Plaintext unless one of them speaks of encryption."""
    ca, cert, key = (tmp_path / name for name in ("ca", "cert", "key"))
    for file in (ca, cert, key):
        file.write_text(file.name)
    assert read_server(server="here:1") == Server("here:1")
    assert read_server(server="here:1", tls=True) == Server("here:1", Tls())
    named = read_server(server="here:1", tls_ca=ca, tls_server_name="name")
    assert named == Server("here:1", Tls(b"ca", server_name="name"))
    assert read_server(server="here:1", tls_cert=cert, tls_key=key) == Server("here:1", Tls(None, b"cert", b"key"))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"server": "nowhere"}, "--server: "),
        ({"tls_cert": "cert"}, "--tls-cert and --tls-key: expected both or neither"),
        ({"tls_ca": "missing"}, "--tls-ca: cannot read "),
    ],
)
def test_flags_that_describe_no_server_are_usage_errors(tmp_path, flags, sentence):
    """Before anything is sent."""
    given = {"server": "here:1"} | {name: tmp_path / text if name != "server" else text for name, text in flags.items()}
    with pytest.raises(CommandFailed) as raised:
        read_server(**given)
    assert raised.value.code == ExitCode.USAGE
    assert raised.value.sentences[0].startswith(sentence)


def test_an_encrypted_server_is_reached(serinus):
    """By every command that talks to one; the name in the certificate need not be the host's."""
    credentials = grpc.ssl_server_credentials([(KEY.read_bytes(), CERTIFICATE.read_bytes())])
    with FakeRegistryThread(credentials) as fake:
        fake.add("m", "1.0.0")
        flags = ("--server", fake.target, "--tls-ca", CERTIFICATE, "--tls-server-name", "serinus.test", "--json")
        assert json.loads(serinus("models", "show", "m", *flags).out)["name"] == "m"
        assert json.loads(serinus("health", *flags).out)["status"] == "NO_HEALTH_SERVICE"
        assert serinus("top", "--once", "--interval", "0.05", *flags).code == 0
        assert serinus("models", "show", "m", "--server", fake.target).code == 3
