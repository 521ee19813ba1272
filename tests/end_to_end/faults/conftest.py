"""One watched server for all faults, and the callers that watch it."""

from collections.abc import AsyncIterator

import grpc.aio
import pytest

from serinus.core.dtypes import DType
from tests.end_to_end.faults.messages import GOOD_INFER, INFER
from tests.support import models
from tests.support.invariants import SECRET, World
from tests.support.server import watched_server

_MODELS = {
    "tabular": models.tabular(),
    "identity": models.identity(),
    "strict": models.identity(),
    "bool": models.identity(DType.BOOL),
    "int8": models.identity(DType.INT8),
    "int64": models.identity(DType.INT64),
    "fp16": models.identity(DType.FP16),
    "bf16": models.identity(DType.BF16),
    "text": models.string_model(),
    "two": models.two_inputs(),
    "optional": models.optional_input(),
    "log": models.nonfinite(),
    "poison": models.poison(),
    "leak": models.batch_leak(),
    "miscount": models.wrong_rows(),
    "doubled": models.doubled_rows(),
    "sequence": models.sequence_model(),
    "loop": models.counted_loop(),
}
_OPTIONS = {"strict": "reject_nonfinite = true\n", "loop": "instances = 1\n"}

# No subchannels shared: what happens to the connection of one caller must not happen to another's.
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
)


@pytest.fixture(scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The server, its golden request and its neighbours."""
    folder = tmp_path_factory.mktemp(SECRET)
    config = ['state = "state"\n']
    for name, content in _MODELS.items():
        (folder / f"{name}.onnx").write_bytes(content)
        config.append(f'[models.{name}]\npath = "{name}.onnx"\n{_OPTIONS.get(name, "")}')
    async with (
        watched_server(folder, "\n".join(config)) as server,
        grpc.aio.insecure_channel(server.address, options=CHANNEL_OPTIONS) as channel,
        grpc.aio.insecure_channel(server.address, options=CHANNEL_OPTIONS) as neighbour,
    ):
        made = World(server, channel=channel, neighbour=neighbour, golden=(INFER, GOOD_INFER))
        await channel.channel_ready()
        # Once without a fault: what the first call of its kind makes and keeps is nobody's leak.
        await made.ask_golden()
        await made.scrape()
        async with made.standing():
            await made.call(INFER, GOOD_INFER)
        yield made
