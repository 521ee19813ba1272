"""AdminService/ListLearnedCosts: what the runs of loaded versions were seen to cost."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from serinus.core.errors import InvalidInput
from serinus.core.run_costs import BestPoint, CostPoint
from serinus.core.version import ModelVersion, Version, check_model_name
from serinus.transport.of_all_workers import OfAll, Others, no_others
from serinus_api.v1 import admin_pb2 as pb


@dataclasses.dataclass(frozen=True, slots=True)
class LearnedCosts:
    """What is known of one loaded version.

    Attributes:
        version: Which.
        points: What was measured.
        best: By length.
        lone_threads: So many threads a lone call's run uses.
        is_inline: A lone call of one row runs on the event loop.
        pads: Calls of different lengths share runs.
        is_restored: What was learned before the server started was taken over.
    """

    version: ModelVersion
    points: Sequence[CostPoint]
    best: Sequence[BestPoint]
    lone_threads: int
    is_inline: bool
    pads: bool
    is_restored: bool


class LearnedCostsOf(Protocol):
    """Where it is known what runs cost; `app` plugs it in."""

    def __call__(self, model: str, version: Version | None, /) -> Sequence[LearnedCosts]:
        """What is known of the versions that serve: of a model, or of all for ""; of one version, or of all for None.

        Raises:
            NotFound, NotLoaded, Loading: a model that is named does not serve, or not in that version.
        """
        ...


def nothing_learned(_model: str, _version: Version | None) -> Sequence[LearnedCosts]:
    """Nobody has measured anything."""
    return ()


ListLearnedCosts = OfAll[pb.ListLearnedCostsRequest, pb.ListLearnedCostsResponse]


def list_learned_costs(costs_of: LearnedCostsOf, others: Others = no_others) -> ListLearnedCosts:
    """The method; `others` are the other workers of the machine."""

    async def own(asked: pb.ListLearnedCostsRequest) -> pb.ListLearnedCostsResponse:
        if asked.model:
            check_model_name(asked.model)
        elif asked.version:
            raise InvalidInput("a version without a model: expected both, or neither", field="model")
        version = Version.parse(asked.version) if asked.version else None
        return pb.ListLearnedCostsResponse(costs=[_message(costs) for costs in costs_of(asked.model, version)])

    return OfAll("ListLearnedCosts", pb.ListLearnedCostsRequest, pb.ListLearnedCostsResponse, own, _joined, others)


def _joined(
    _asked: pb.ListLearnedCostsRequest, said: Sequence[pb.ListLearnedCostsResponse]
) -> pb.ListLearnedCostsResponse:
    """Of each version, what the worker knows that has seen most runs: each decides by its own, none by an average."""
    best: dict[tuple[str, str], pb.LearnedCosts] = {}
    for answer in said:
        for costs in answer.costs:
            key = costs.model, costs.version
            if key not in best or _runs(costs) > _runs(best[key]):
                best[key] = costs
    return pb.ListLearnedCostsResponse(costs=best.values())


def _runs(costs: pb.LearnedCosts) -> int:
    return sum(point.runs for point in costs.points)


def _message(costs: LearnedCosts) -> pb.LearnedCosts:
    points = sorted(costs.points, key=lambda point: (point.threads, point.length, point.rows))
    return pb.LearnedCosts(
        model=costs.version.model,
        version=costs.version.version_text,
        points=[
            pb.LearnedCost(
                rows=point.rows, length=point.length, threads=point.threads, seconds=point.seconds, runs=point.runs
            )
            for point in points
        ],
        best=[
            pb.BestRows(length=best.length, rows=best.rows, rows_per_second=best.rows_per_second)
            for best in sorted(costs.best, key=lambda best: best.length)
        ],
        lone_threads=costs.lone_threads,
        inline=costs.is_inline,
        pads=costs.pads,
        restored=costs.is_restored,
    )
