"""What keeps a server from starting, as a sentence for whoever starts it."""

import contextlib
from collections.abc import Iterator

from serinus.config.errors import ConfigError
from serinus.core.errors import ServerError


class StartRefused(Exception):
    """The server cannot start as it was told; the message says why, for the person who started it."""


@contextlib.contextmanager
def start_refusals(prefix: str = "") -> Iterator[None]:
    """Turn what can go wrong while starting into a sentence for whoever starts the server."""
    try:
        yield
    except ServerError as error:
        raise StartRefused(prefix + error.message) from error
    except ConfigError as error:
        raise StartRefused(prefix + str(error)) from error
    except OSError as error:
        raise StartRefused(prefix + (error.strerror or str(error))) from error


def refusal_in(error: BaseException) -> StartRefused | None:
    """The refusal that `error` is, or that all of a group of errors are about; None if anything else is in it.

    Task groups wrap what ends them.
    """
    if isinstance(error, StartRefused):
        return error
    if not isinstance(error, BaseExceptionGroup) or error.split(StartRefused)[1] is not None:
        return None
    return next(filter(None, map(refusal_in, error.exceptions)), None)
