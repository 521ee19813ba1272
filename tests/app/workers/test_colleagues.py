"""What a worker and its supervisor say to each other for the sake of all, over a real channel."""

import base64
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.app.sources import ModelSources
from serinus.app.workers.colleagues import Colleagues
from serinus.app.workers.kept_out import KeptOut
from serinus.core.errors import Draining, ModelRejected, Unsupported
from serinus.core.version import ModelVersion, Version
from serinus.lifecycle.models import Models
from serinus.telemetry.logs import Logs, LogSwitches
from serinus.transport.admin.status_merging import Place
from serinus.workers.control import Body, ControlChannel, Handler, NotAnswered
from serinus.workers.quarantine import Quarantined
from tests.lifecycle.fake_servables import FakeLoader, model_plan
from tests.support.records import model_record
from tests.support.scratch import scratch

KEPT_OUT = Quarantined(ModelVersion("m", Version(1), 1), 4, 60.0, "signal 11")
QUIET = {"error": True, "warning": True, "info": False, "verbose_level": 0}
STANDING: Body = {"kept_out": [KEPT_OUT.body()], "orders": [], "folder": "/shared", "log": None}
STATISTICS = oip.ModelStatisticsResponse(model_stats=[oip.ModelStatistics(name="m", version="1", inference_count=7)])
COUNTS = {"m\n1": {"inference_count": 7}}
RECORD = model_record()  # revision 1


class Supervisor:
    """Answers as it is told.

    Attributes:
        answers: By kind.
        asked: What for.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Body] = {
            "standing": STANDING,
            "lift": {},
            "last_counts": {},
            "log": {},
            "others": {"answers": [{"answer": "AP8="}]},
        }
        self.asked: list[tuple[str, Body]] = []

    def handlers(self) -> dict[str, Handler]:
        return {kind: self._handler(kind) for kind in self.answers}

    def _handler(self, kind: str) -> Handler:
        async def answer(body: Body) -> Body:
            self.asked.append((kind, body))
            return self.answers[kind]

        return answer


class World:
    """A worker, and the other end of its channel."""

    def __init__(self, supervisor: ControlChannel, worker: ControlChannel, models: Models, folder: Path) -> None:
        self.supervisor = supervisor
        self.models = models
        self.kept_out = KeptOut()

        async def examine(*_: Any) -> None:
            """Everything is fine."""

        sources = ModelSources(
            models, named={}, repository=None, scratch=lambda: scratch(folder), examine=examine, taken=set()
        )
        self.logs = Logs(logging.NullHandler(), LogSwitches())
        self.colleagues = Colleagues(
            worker, models=models, sources=sources, kept_out=self.kept_out, logs=self.logs, relay_s=60.0
        )

    def answer(self) -> None:
        """Let the worker answer its supervisor."""

        async def said_alone(method: str, message: bytes) -> bytes:
            match method:
                case "Index":
                    return message[::-1]
                case "ModelStatistics":
                    return STATISTICS.SerializeToString()
            raise Unsupported("not that")

        async def nothing(_body: Body) -> Body:
            return {"nothing": True}

        self.colleagues.answer(
            metrics=lambda: (b"up 1\n", "text"),
            status=lambda: b"\x00\xff",
            said_alone=said_alone,
            more={"more": nothing},
        )


@contextlib.asynccontextmanager
async def world(folder: Path, told: Supervisor) -> AsyncIterator[World]:
    one, other = socket.socketpair()
    async with (
        await ControlChannel.over(one, told.handlers()) as supervisor,
        await ControlChannel.over(other) as worker,
        Models(FakeLoader(), refused=lambda _reason: None, forget=lambda _version: None) as models,
    ):
        made = World(supervisor, worker, models, folder)
        try:
            yield made
        finally:
            made.logs.close()


async def test_a_worker_that_starts_hears_what_is_kept_out(tmp_path: Path):
    """And where the files lie that all workers are to load."""
    async with world(tmp_path, Supervisor()) as here:
        assert await here.colleagues.hear_standing() == []
        assert here.colleagues.sources.folder == Path("/shared")
        with pytest.raises(ModelRejected, match="was running at 4 deaths"):
            here.kept_out.admit(KEPT_OUT.version)


async def test_a_worker_that_serves_hears_it_too_and_may_be_told_otherwise(tmp_path: Path):
    """Every list is whole."""
    async with world(tmp_path, Supervisor()) as here:
        here.answer()
        await here.models.reload(model_plan("m"))
        await here.supervisor.request("kept_out", {"kept_out": [KEPT_OUT.body()]}, timeout_s=5.0)
        assert here.models.serving() == []
        await here.supervisor.request("kept_out", {"kept_out": []}, timeout_s=5.0)
        await here.models.settled("m")
        assert [str(servable.identity) for servable in here.models.serving()] == ["m@1.0.0"]


async def test_it_says_what_it_counts_and_does(tmp_path: Path):
    """With its process number: another one may follow in its place."""
    told = Supervisor()
    async with world(tmp_path, told) as here:
        here.answer()
        said = {"pid": os.getpid(), "text": "up 1\n"}
        assert await here.supervisor.request("metrics", {}, timeout_s=5.0) == said
        assert await here.supervisor.request("status", {}, timeout_s=5.0) == {"pid": os.getpid(), "status": "AP8="}
        await here.colleagues.say_last(lambda: (b"up 1\n", "text"))
    assert told.asked == [("last_counts", {**said, "counts": COUNTS})]


async def test_statistics_of_all_hold_what_the_dead_have_counted(tmp_path: Path):
    """Each leaves its own with the supervisor when it asks or is asked; only what was asked for is said of the dead."""
    told, asked = Supervisor(), oip.ModelStatisticsRequest(name="m").SerializeToString()
    told.answers["others"] = {
        "answers": [{"answer": "AP8="}],
        "missing": {"m\n1": {"inference_count": 3}, "n\n1": {"inference_count": 4}},
    }
    async with world(tmp_path, told) as here:
        here.answer()
        theirs, missing = await here.colleagues.others("ModelStatistics", asked)
        said = await here.supervisor.request("say", {"method": "ModelStatistics", "message": ""}, timeout_s=5.0)
    kept = {"pid": os.getpid(), "counts": COUNTS}
    assert (theirs, said) == (
        b"\x00\xff",
        {"answer": base64.b64encode(STATISTICS.SerializeToString()).decode(), **kept},
    )
    dead = oip.ModelStatistics(name="m", version="1", inference_count=3)
    assert oip.ModelStatisticsResponse.FromString(missing).model_stats == [dead]
    body = {"method": "ModelStatistics", "message": base64.b64encode(asked).decode()}
    assert told.asked == [("others", {"kind": "say", "body": body, "wait_s": 0.5, "kept": kept})]


async def test_all_workers_are_places(tmp_path: Path):
    """One that does not answer has no status."""
    told = Supervisor()
    place = {"index": 1, "pid": 7, "started_unix_s": 2.5, "restarts": 3, "last_end": "exit 1", "status": "AP8="}
    told.answers["statuses"] = {"places": [place, {**place, "index": 2, "status": None}]}
    async with world(tmp_path, told) as here:
        assert await here.colleagues.places() == [
            Place(1, 7, 2.5, 3, "exit 1", b"\x00\xff"),
            Place(2, 7, 2.5, 3, "exit 1", None),
        ]


async def test_without_an_answer_a_worker_speaks_for_itself_and_orders_nothing(tmp_path: Path):
    """It goes when its supervisor is gone; until then it answers what it can."""
    told = Supervisor()
    told.answers.clear()
    async with world(tmp_path, told) as here:
        assert await here.colleagues.places() == ()
        await here.colleagues.say_last(lambda: (b"", ""))
        for order in (here.colleagues.lift("m", ""), here.colleagues.sources.unload("m"), here.colleagues.catch_up()):
            with pytest.raises(Draining):
                await order
        assert await here.colleagues.others("Index", b"") == []
        await here.colleagues.others_follow(RECORD, time.monotonic())


async def test_what_is_lifted_is_said_to_the_supervisor(tmp_path: Path):
    """One version, or all of a model."""
    told = Supervisor()
    async with world(tmp_path, told) as here:
        await here.colleagues.lift("m", "1.0.0")
    assert told.asked == [("lift", {"model": "m", "version": "1.0.0"})]


async def test_what_others_say_is_asked_of_the_supervisor(tmp_path: Path):
    """Bytes travel as text, both ways; no probe waits for a worker that hangs."""
    told = Supervisor()
    async with world(tmp_path, told) as here:
        assert await here.colleagues.others("Index", b"\x00") == [b"\x00\xff"]
    body = {"method": "Index", "message": "AA=="}
    assert told.asked == [("others", {"kind": "say", "body": body, "wait_s": 0.5})]


async def test_a_worker_says_alone_what_another_one_is_asked(tmp_path: Path):
    """What it refuses is a sentence; what else it may be asked is known by its kind."""
    async with world(tmp_path, Supervisor()) as here:
        here.answer()
        body = {"method": "Index", "message": "AP8="}
        assert await here.supervisor.request("say", body, timeout_s=5.0) == {"answer": "/wA="}
        with pytest.raises(NotAnswered, match="not that"):
            await here.supervisor.request("say", {**body, "method": "Infer"}, timeout_s=5.0)
        assert await here.supervisor.request("more", {}, timeout_s=5.0) == {"nothing": True}


async def test_others_get_longer_to_follow_than_this_worker_took(tmp_path: Path):
    """It took three seconds: they may take five more."""
    told = Supervisor()
    async with world(tmp_path, told) as here:
        await here.colleagues.others_follow(RECORD, time.monotonic() - 3.0)
    ((kind, body),) = told.asked
    assert (kind, body["kind"], body["body"]) == ("others", "follow", {"model": "m", "revision": 1})
    assert 8.0 <= body["wait_s"] < 9.0


async def test_what_is_logged_is_said_by_one_and_heard_by_all(tmp_path: Path):
    """A worker that comes later hears it before anything else."""
    told = Supervisor()
    async with world(tmp_path, told) as here:
        here.answer()
        await here.colleagues.say_logs(LogSwitches(info=False))
        assert told.asked == [("log", {"log": QUIET})]
        await here.supervisor.request("log", {"log": QUIET}, timeout_s=5.0)
        assert here.logs.switches == LogSwitches(info=False)
        told.answers["standing"] = {**STANDING, "log": {**QUIET, "warning": False}}
        await here.colleagues.hear_standing()
        assert here.logs.switches == LogSwitches(info=False, warning=False)
