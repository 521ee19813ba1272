"""Row 70 on running servers: of those who write on the same revision one wins, and the others hear what it is now."""

import asyncio
from pathlib import Path

import grpc

from serinus_api.v1 import registry_pb2 as pb
from serinus_client import Conflict
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, place, times

AT_ONCE = 50
ROUNDS = 3
CONTENDERS = 10


async def test_of_fifty_who_move_an_alias_on_one_revision_one_wins(forks: Nursery, home: Path):
    """Through two servers of one registry; the losers are ABORTED with the revision that there is now."""
    tables = f'[registry]\ndatabase = "sqlite:///{home}/registry.db"\nartifacts = "{home / "artifacts"}"\n'
    async with (
        place(forks, home / "one", tables=tables, database=home / "registry.db") as one,
        place(forks, home / "other", tables=tables, database=home / "registry.db") as other,
    ):
        done = await one.register("m", "1.0.0", times(2))
        await eventually(lambda: one.serves("m", 2))
        revision = done.revision
        async with one.undisturbed(), other.undisturbed():
            for round_ in range(ROUNDS):
                found = await asyncio.gather(
                    *((one, other)[index % 2].client.registry.set_alias(
                        "m", f"r{round_}-{index}", "1.0.0", expected_revision=revision
                    ) for index in range(AT_ONCE)),
                    return_exceptions=True,
                )  # fmt: skip
                winners = [each for each in found if isinstance(each, pb.RegisteredModel)]
                losers = [each for each in found if isinstance(each, Conflict)]
                assert (len(winners), len(losers)) == (1, AT_ONCE - 1), found
                assert winners[0].revision == revision + 1
                assert {(each.code, each.reason, each.current_revision) for each in losers} == {
                    (grpc.StatusCode.ABORTED, "REVISION_MISMATCH", revision + 1)
                }
                revision += 1
            revisions = await asyncio.gather(
                *(_win((one, other)[index % 2], f"c{index}", revision) for index in range(CONTENDERS))
            )
        assert sorted(revisions) == list(range(revision + 1, revision + CONTENDERS + 1)), "each revision has one winner"
        model = await other.client.registry.model("m")
        assert len(model.aliases) == 1 + ROUNDS + CONTENDERS
        entries = [(entry.revision, entry.action) async for entry in one.client.admin.list_audit()]
        assert entries == [(1, "version.register"), *((each, "alias.set") for each in range(2, model.revision + 1))]
        await one.check_registry()


async def _win(each: Place, alias: str, revision: int) -> int:
    """Set an alias on the revision that was read last, until that is the newest; the revision since."""
    while True:
        try:
            done = await each.client.registry.set_alias("m", alias, "1.0.0", expected_revision=revision)
        except Conflict as error:
            newer = error.current_revision or 0
        else:
            return done.revision
        assert newer > revision
        revision = newer


async def test_of_many_who_register_the_same_version_all_hear_the_same(forks: Nursery, home: Path):
    """The same bytes are one version; other bytes are refused; different versions all come in, with numbers of their
    own."""
    tables = "[registry]\nmax_uploads = 32\n"
    async with place(forks, home / "one", tables=tables, database=home / "one" / "state" / "registry.db") as one:
        async with one.undisturbed():
            found = await asyncio.gather(
                *(one.register("m", "1.0.0", times(2)) for _ in range(4)),
                one.register("m", "1.0.1", times(3)),
                one.register("m", "1.1.0", times(4)),
            )
        assert [each.created for each in found[:4]].count(True) == 1
        assert all(each.created for each in found[4:])
        model = await one.client.registry.model("m")
        assert sorted(each.version_number for each in model.versions) == [1, 2, 3]
        await one.check_registry()
