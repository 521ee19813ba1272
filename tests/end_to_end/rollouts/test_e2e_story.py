"""The whole story on a real model: a good version is promoted, and each kind of bad one is rolled back by itself."""

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from serinus.cli.demo.features import read_features
from serinus.cli.demo.package import find_model
from serinus.runtime.sabotage import Fault, sabotaged
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import Refused
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, refusal
from tests.end_to_end.rollouts.callers import Arrays, Question, Tally, calling
from tests.end_to_end.rollouts.stages import canary, ended, events, evidence, exposed, plan, quick_place, show

MODEL = "magika"
STABLE, GOOD = "1.0.0", "1.1.0"
FILES = 32
CALLERS = 6
PAUSE_S = 0.08  # a run takes 7 ms of a core: the server is idle half of the time
WORK = 500  # matrix products: a slow run takes more than 100 ms of a core
SLOW_S = 0.08  # what stable takes now and then on a busy machine, and the slow version always
NOISE = 1e-3  # of the good version's weights: what training it once more might change

SHADOW = {"shadow": {"percent": 100, "min_pairs": 25, "min_s": 0.5, "measure": "class"}}
HASTY = canary(15, 100)
# A machine whose cores are all busy makes a good version slow now and then.
LATENCY = {"latency": {"limit_s": 1, "ceiling": 0.3}}
SLOWNESS = {"latency": {"limit_s": SLOW_S, "ceiling": 0.2}}


@dataclasses.dataclass(frozen=True)
class Stage:
    """A server with the real model, and what its versions answer.

    Attributes:
        place: The server.
        questions: One for each of some real files; stable and the versions that are made from it answer the same.
    """

    place: Place
    questions: Sequence[Question]


@pytest.fixture(scope="module")
async def stage(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One server for all chapters; its registry stands at the end, and its log has no error."""
    folder = tmp_path_factory.mktemp("story") / "one"
    package = find_model()
    good = _retrained(package.onnx)
    of_stable, of_good = (onnxruntime.InferenceSession(model) for model in (package.onnx.read_bytes(), good))
    name = of_stable.get_inputs()[0].name
    questions = [
        Question(
            {name: row},
            {
                GOOD: _answer(of_good, {name: row}),
                **dict.fromkeys((STABLE, *VERSION_OF.values()), _answer(of_stable, {name: row})),
            },
        )
        for row in _rows(package)
    ]
    async with quick_place(forks, folder) as place:
        await place.register(MODEL, STABLE, package.onnx.read_bytes())
        await place.register(MODEL, GOOD, good)
        await place.client.admin.load_model(MODEL)
        yield Stage(place, questions)


VERSION_OF = {Fault.ERRS: "1.2.0", Fault.NAN: "1.3.0", Fault.SLOW: "1.4.0", Fault.DIFFERS: "1.5.0"}


def _rows(package: Any) -> list[np.ndarray]:
    files = sorted(Path(__file__).parents[3].glob("server/serinus/*/*.py"))[: 2 * FILES]
    rows = (read_features(file, package) for file in files)
    return [row for row in rows if row is not None][:FILES]


def _answer(session: onnxruntime.InferenceSession, inputs: Arrays) -> Arrays:
    (output,) = session.get_outputs()
    return {output.name: session.run(None, dict(inputs))[0]}


def _retrained(model: Path) -> bytes:
    """The same model with other weights: each is off by a thousandth of itself."""
    proto, rng = onnx.load(model), np.random.default_rng(1)
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor)
            noisy = array * (1 + NOISE * rng.standard_normal(array.shape)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(noisy, tensor.name))
    return bytes(proto.SerializeToString())


@dataclasses.dataclass(frozen=True)
class Chapter:
    """A version that is worse, and how that comes out.

    Attributes:
        fault: What is wrong with it.
        percent: Of the files that it fares badly with.
        stages: Of its plan.
        found_by: Checks that may find it out.
        most_exposed: Calls that it may get until it is out; it is judged ten times a second and gets ten calls in one.
        rescued_for: Why stable answers in its place.
    """

    fault: Fault
    percent: int
    stages: Sequence[Mapping[str, Any]]
    found_by: frozenset[str]
    most_exposed: int = 100
    rescued_for: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """Its name."""
        return VERSION_OF[self.fault]


CHAPTERS = [
    Chapter(Fault.ERRS, 50, HASTY, frozenset({"errors", "consecutive"}), rescued_for=frozenset({"error", "breaker"})),
    Chapter(Fault.NAN, 50, HASTY, frozenset({"invalid", "consecutive"}), rescued_for=frozenset({"invalid", "breaker"})),
    Chapter(Fault.SLOW, 100, canary(8, 100), frozenset({"latency"})),
    Chapter(Fault.DIFFERS, 100, [SHADOW, *HASTY], frozenset({"disagreement"}), most_exposed=0),
]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=[chapter.fault.value for chapter in CHAPTERS])
async def test_a_bad_version_is_rolled_back_and_no_caller_notices(stage: Stage, chapter: Chapter):
    """Rows 83 and 88: it is out after a few calls, with the evidence written down, and is not tried again by mistake;
    every call is answered rightly meanwhile, by stable where the version could not."""
    place, version = stage.place, chapter.version
    content = sabotaged(find_model().onnx, chapter.fault, percent=chapter.percent, work=WORK)
    await place.register(MODEL, version, content)
    spec = plan(
        version, chapter.stages, model=MODEL, guardrails=LATENCY if chapter.fault is not Fault.SLOW else SLOWNESS
    )
    rollout, tally = await _rolled_out(stage, spec)
    assert rollout.status == pb.ROLLOUT_STATUS_ROLLED_BACK, rollout
    numbers = await evidence(place.client, rollout.id)
    failed = {check["name"] for check in numbers["verdict"]["checks"] if check["outcome"] == "fail"}
    assert failed, numbers
    assert failed <= chapter.found_by, numbers
    assert (await events(place.client, rollout.id))[-1] == ("rolled_back", "rolled_back")
    calls, copies = exposed(rollout, version), rollout.pairs.pairs
    show(f"{chapter.fault.value}: out after {calls} calls and {copies} copies: {rollout.reason}")
    assert calls <= chapter.most_exposed
    assert set(tally.rescued) <= chapter.rescued_for
    assert bool(tally.rescued) == bool(chapter.rescued_for)
    assert await _stable(place) == STABLE
    await refusal(place.client.admin.start_rollout(spec), Refused, "LAST_FAILED", version, "has failed before")


async def test_a_good_version_is_promoted_and_no_caller_notices(stage: Stage):
    """Row 84: the same model, trained once more, goes through a shadow and a canary, and is stable then."""
    stages = [SHADOW, *canary(30, 100)]
    rollout, tally = await _rolled_out(stage, plan(GOOD, stages, model=MODEL, guardrails=LATENCY))
    assert rollout.status == pb.ROLLOUT_STATUS_SUCCEEDED, rollout
    show(f"good: stable after {exposed(rollout, GOOD)} calls and {rollout.pairs.pairs} copies")
    assert tally.answered[GOOD] >= exposed(rollout, GOOD) >= 50
    assert not tally.rescued
    assert await _stable(stage.place) == GOOD


async def _rolled_out(stage: Stage, spec: Mapping[str, Any]) -> tuple[pb.Rollout, Tally]:
    """Start a rollout and see it to its end while callers ask on and on, none of whom may notice anything."""
    client = stage.place.client
    async with calling(client, MODEL, stage.questions, callers=CALLERS, pause_s=PAUSE_S) as tally:
        rollout = await ended(client, (await client.admin.start_rollout(spec)).id)
    tally.assert_untroubled()
    return rollout, tally


async def _stable(place: Place) -> str:
    return (await place.client.registry.model(MODEL)).aliases["stable"]
