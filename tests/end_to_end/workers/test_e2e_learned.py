"""What two workers have learned of a model is there when the server starts again."""

import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serinus_api.v1 import admin_pb2 as pb
from serinus_client import AsyncClient, Transport
from tests.end_to_end.workers.supervised import supervised
from tests.support import models

BATCHES = (1, 2, 4, 8, 16)


async def costs(client: AsyncClient) -> pb.LearnedCosts:
    (found,) = await client.admin.learned_costs("slow")
    return found


def best(found: pb.LearnedCosts) -> Sequence[tuple[int, int]]:
    return [(point.length, point.rows) for point in found.best]


async def test_a_server_that_starts_again_knows_what_runs_cost(tmp_path: Path) -> None:
    """As it ended, or worse: only one of its two workers has had calls, and the other must not have the last word."""
    (tmp_path / "slow.onnx").write_bytes(models.slow(500))
    with supervised(tmp_path, 2) as server:
        async with AsyncClient(server.target, transport=Transport.UNARY) as client:
            await client.registry.register("slow", tmp_path / "slow.onnx", "1.0.0")
            await client.admin.load_model("slow")
            for _ in range(20):
                for rows in BATCHES:
                    await client.predict("slow", {"x": np.ones((rows, 128), np.float32)})
            before = await costs(client)
        assert await server.end(signal.SIGTERM) == 0
        assert server.count("costs not kept") == 0  # both write at once, into one file
    with supervised(tmp_path, 2) as server:
        async with AsyncClient(server.target) as client:
            after = await costs(client)
            first = after
            while not first.best:  # of the worker that is shown; nobody has asked it before its first call
                async with AsyncClient(server.target) as caller:
                    await caller.predict("slow", {"x": np.ones((1, 128), np.float32)})
                first = await costs(client)
    assert (before.restored, after.restored) == (False, True)
    assert best(first) == best(before)
    runs = {point.rows: point.runs for point in after.points}
    assert all(runs[rows] >= 5 for rows in BATCHES), after  # of 20, half of which do not count any more
