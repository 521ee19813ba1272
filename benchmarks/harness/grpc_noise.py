"""Keeps out of the output what grpc.aio says of every event loop that has ended (grpc/grpc#36096): nothing is wrong."""

import logging

_HARMLESS = "PollerCompletionQueue._handle_events"


def silence() -> None:
    """From now on; everything else that event loops complain of is still said."""
    logging.getLogger("asyncio").addFilter(lambda record: _HARMLESS not in record.getMessage())
