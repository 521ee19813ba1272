"""A process that is killed at any place of a rollout's write leaves all of it or nothing, and it can be made again."""

import asyncio
import dataclasses
import shutil
from pathlib import Path

import pytest

from serinus.core.traffic import NO_TRAFFIC, Traffic
from serinus.core.version import ModelVersion
from serinus.registry.failpoints import Failpoint
from tests.support.killed_writes import SECOND, canary, do, ends_of, prepare, prepare_rollout
from tests.support.registrations import Workplace, workplace
from tests.support.rollout_changes import OLD, split_of, window

POINTS = (Failpoint.TRANSACTION_BEGUN, Failpoint.ROWS_WRITTEN, Failpoint.COMMITTED)
"""Those that a write of the registry passes; the others pass the first and the last."""


@dataclasses.dataclass(frozen=True)
class State:
    """All that a write of a rollout may change.

    Attributes:
        revision: Of the registry.
        traffic: Of the model.
        stable: What the alias names.
        statuses: Of the journal's entries.
        windows: How many servers have published.
        holder: Of the lease.
    """

    revision: int
    traffic: Traffic
    stable: ModelVersion = OLD
    statuses: tuple[str, ...] = ()
    windows: int = 0
    holder: str = ""


def under_way(weight: int) -> Traffic:
    return Traffic(split_of(weight, to=SECOND), None, "r1", (OLD, SECOND))


BEFORE = State(2, NO_TRAFFIC)
RUNNING = State(3, under_way(500), statuses=("running",), holder="s1")
ENDED = dataclasses.replace(RUNNING, revision=4, traffic=NO_TRAFFIC)
WRITES = {
    "begin": (BEFORE, State(3, under_way(500), statuses=("running",))),
    "advance": (
        RUNNING,
        dataclasses.replace(RUNNING, revision=4, traffic=under_way(5000), statuses=("running", "running")),
    ),
    "promote": (RUNNING, dataclasses.replace(ENDED, stable=SECOND, statuses=("running", "succeeded"))),
    "roll back": (RUNNING, dataclasses.replace(ENDED, statuses=("running", "rolled_back"))),
    "publish": (RUNNING, dataclasses.replace(RUNNING, windows=1)),
    "take the lease": (RUNNING, dataclasses.replace(RUNNING, holder="s2")),
    "split": (BEFORE, State(3, Traffic(split_of(500, to=SECOND, rollout="")))),
}
UNREVISED = ("publish", "take the lease")
CASES = [
    (operation, point)
    for operation in WRITES
    for point in POINTS
    if point is not Failpoint.ROWS_WRITTEN or operation not in UNREVISED
]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds what each case left behind, once each was killed."""
    root = tmp_path_factory.mktemp("killed")
    asyncio.run(prepare(root / "2"))
    asyncio.run(prepare_rollout(root / "3"))
    order = [
        {
            "folder": str(
                shutil.copytree(root / str(WRITES[operation][0].revision), root / f"{operation}-{point.name}")
            ),
            "operation": operation,
            "point": point.name,
            "occurrence": 1,
        }
        for operation, point in CASES
    ]
    assert ends_of(order) == ["killed"] * len(CASES)
    return root


async def state_of(work: Workplace) -> State:
    model = await work.registry.model("m")
    newest, lease = await work.rollouts.newest("m"), await work.rollouts.lease()
    journal = () if newest is None else await work.rollouts.journal(newest.id)
    return State(
        revision=await work.registry.current_revision(),
        traffic=model.traffic,
        stable=model.aliases["stable"],
        statuses=tuple(entry.status for entry in journal),
        windows=0 if newest is None else len(await work.rollouts.windows(newest.id)),
        holder="" if lease is None else lease.holder,
    )


@pytest.mark.parametrize(("operation", "point"), CASES, ids=lambda each: str(getattr(each, "name", each)))
async def test_a_killed_write_is_in_or_out(ends: Path, operation: str, point: Failpoint):
    """The split, the alias, the journal and the audit, all together; when it was out, it is made again."""
    before, after = WRITES[operation]
    async with workplace(ends / f"{operation}-{point.name}") as work:
        assert await state_of(work) == (after if point is Failpoint.COMMITTED else before)
        assert (await work.registry.verify_audit()).problem == ""
        if point is not Failpoint.COMMITTED:
            await do(work, operation)
            assert await state_of(work) == after
        if operation == "advance":
            [record] = await work.rollouts.active()
            assert (record.document, record.revision) == (canary(5000).document, 4)
        if operation == "publish":
            assert await work.rollouts.windows("r1") == [window()]
        assert (await work.registry.verify_audit()).entries == after.revision
