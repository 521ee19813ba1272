"""AdminService/ListLearnedCosts."""

from collections.abc import Sequence

import pytest

from serinus.core.errors import InvalidInput, NotFound
from serinus.core.run_costs import BestPoint, CostPoint
from serinus.core.version import ModelVersion, Version
from serinus.transport.admin.learned_costs import LearnedCosts, list_learned_costs
from serinus_api.v1 import admin_pb2 as pb

OCR = LearnedCosts(
    ModelVersion("ocr", Version(1, 2), 3),
    points=[
        CostPoint(rows=8, length=1, threads=2, seconds=0.004, runs=9),
        CostPoint(rows=8, length=64, threads=1, seconds=0.02, runs=4),
        CostPoint(rows=8, length=1, threads=1, seconds=0.005, runs=7),
        CostPoint(rows=1, length=1, threads=1, seconds=0.001, runs=50),
    ],
    best=[BestPoint(length=64, rows=4, rows_per_second=200.0), BestPoint(length=1, rows=8, rows_per_second=1600.0)],
    lone_threads=2,
    is_inline=False,
    pads=True,
    is_restored=True,
)


class Costs:
    """Knows the costs of one version.

    Attributes:
        asked: What for.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Version | None]] = []

    def __call__(self, model: str, version: Version | None) -> Sequence[LearnedCosts]:
        self.asked.append((model, version))
        if model not in {"", "ocr"}:
            raise NotFound(f"model {model!r}")
        return [OCR]


async def listed(costs: Costs, **asked: str) -> pb.ListLearnedCostsResponse:
    return await list_learned_costs(costs)(pb.ListLearnedCostsRequest(**asked))


async def test_points_and_best_rows_are_in_order():
    """By threads, length and rows; best rows by length."""
    assert await listed(Costs()) == pb.ListLearnedCostsResponse(
        costs=[
            pb.LearnedCosts(
                model="ocr",
                version="1.2.0",
                points=[
                    pb.LearnedCost(rows=1, length=1, threads=1, seconds=0.001, runs=50),
                    pb.LearnedCost(rows=8, length=1, threads=1, seconds=0.005, runs=7),
                    pb.LearnedCost(rows=8, length=64, threads=1, seconds=0.02, runs=4),
                    pb.LearnedCost(rows=8, length=1, threads=2, seconds=0.004, runs=9),
                ],
                best=[
                    pb.BestRows(length=1, rows=8, rows_per_second=1600.0),
                    pb.BestRows(length=64, rows=4, rows_per_second=200.0),
                ],
                lone_threads=2,
                inline=False,
                pads=True,
                restored=True,
            )
        ]
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ("", None)),
        ({"model": "ocr"}, ("ocr", None)),
        ({"model": "ocr", "version": "1.2.0"}, ("ocr", Version(1, 2))),
    ],
)
async def test_all_of_one_or_one_version_is_asked_for(asked: dict[str, str], expected: tuple[str, Version | None]):
    """What the request names."""
    costs = Costs()
    await listed(costs, **asked)
    assert costs.asked == [expected]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"version": "1.2.0"}, InvalidInput),
        ({"model": "OCR"}, InvalidInput),
        ({"model": "ocr", "version": "stable"}, InvalidInput),
        ({"model": "magika"}, NotFound),
    ],
)
async def test_what_cannot_be_meant_is_refused(asked: dict[str, str], error: type[Exception]):
    """A version needs its model, and both have to be such."""
    with pytest.raises(error):
        await listed(Costs(), **asked)


async def test_of_all_workers_the_one_with_most_runs_is_shown():
    """Its points and what it decided by them belong together; versions that one alone serves are shown as well."""
    busy = pb.LearnedCosts(model="ocr", version="1.2.0", points=[pb.LearnedCost(rows=1, runs=71)], lone_threads=1)
    idle = pb.LearnedCosts(model="ocr", version="1.2.0", points=[pb.LearnedCost(rows=1, runs=69)], lone_threads=4)
    other = pb.LearnedCosts(model="tab", version="1.0.0")
    asked: list[tuple[str, bytes]] = []

    async def others(method: str, message: bytes) -> Sequence[bytes]:
        asked.append((method, message))
        return [pb.ListLearnedCostsResponse(costs=costs).SerializeToString() for costs in ([idle], [busy, other])]

    request = pb.ListLearnedCostsRequest(model="ocr")
    found = await list_learned_costs(Costs(), others)(request)
    assert found == pb.ListLearnedCostsResponse(costs=[busy, other])
    assert asked == [("ListLearnedCosts", request.SerializeToString())]
