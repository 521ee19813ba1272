"""Reads what a TLS server shows and asks for, and checks it before gRPC would refuse it without saying why."""

import ssl
from collections.abc import Callable
from pathlib import Path

from serinus.config.errors import ConfigError
from serinus.config.sections import GrpcSettings
from serinus.transport.server import TlsFiles


def read_tls(grpc: GrpcSettings) -> TlsFiles | None:
    """The files that the settings name, or None for a server without TLS.

    Raises:
        ConfigError: one cannot be read or holds something else; the sentence names the setting.
    """
    if grpc.tls_cert is None or grpc.tls_key is None:
        return None
    certificate, key, authority = grpc.tls_cert, grpc.tls_key, grpc.tls_client_ca
    files = TlsFiles(
        certificate_chain=_read("grpc.tls_cert", certificate),
        private_key=_read("grpc.tls_key", key),
        client_authorities=None if authority is None else _read("grpc.tls_client_ca", authority),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _check(
        "grpc.tls_cert and grpc.tls_key: expected a PEM certificate chain and its own private key without a password",
        # The password keeps OpenSSL from asking for one on the terminal.
        lambda: context.load_cert_chain(certificate, key, password=""),
    )
    if authority is not None:
        _check("grpc.tls_client_ca: expected PEM certificates", lambda: context.load_verify_locations(authority))
    return files


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{setting}: {str(path)!r} cannot be read: {error.strerror}"]) from error


def _check(sentence: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError([sentence]) from error
