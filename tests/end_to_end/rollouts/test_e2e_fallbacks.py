"""Who answers when the chosen version cannot, asked and set over gRPC."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serinus.runtime.sabotage import Fault
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import InvalidInput, Prediction, SerinusError, ServerFault
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, times
from tests.end_to_end.rollouts.stages import QUICK, pair, quick_place
from tests.end_to_end.rollouts.versions import BAD, GOOD, faulty, looping
from tests.support import models
from tests.support.invariants import Answer, assert_no_leak, scrape

LONG = 500_000  # turns: a second and more
STORM = 300
BREAKER = f"{QUICK}breaker_failures = 3\nbreaker_open_s = 3600\n"
CONSTANT = pb.FallbackTarget(constant_json=json.dumps({"y": [-1, -2]}))


@pytest.fixture(scope="module")
async def one(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server with a spare model that multiplies by 9; its registry stands at the end, and its log has no error."""
    async with quick_place(forks, tmp_path_factory.mktemp("fallbacks") / "one", tables=BREAKER) as made:
        await made.register("spare", "1.0.0", times(9))
        yield made


async def _set(one: Place, model: str, *targets: pb.FallbackTarget | str, **fields: Any) -> pb.ModelTraffic:
    """Let models, named as texts, or other targets stand in, without a bound on how often."""
    made = [pb.FallbackTarget(model=target) if isinstance(target, str) else target for target in targets]
    return await one.client.admin.set_fallback(model, pb.Fallback(targets=made, budget=1, **fields))


async def _ask(one: Place, model: str, first: float = BAD, **options: Any) -> Prediction:
    return await one.client.call(model, {"x": np.array([[first, 0]], np.float32)}, **options)


def _to(*others: str, **fields: Any) -> pb.Fallback:
    return pb.Fallback(targets=[pb.FallbackTarget(model=other) for other in others], **fields)


def _said(answer: Prediction) -> tuple[str, str, list[float], str]:
    """Who answered what, and why."""
    return answer.model, answer.version, answer.outputs["y"][0].tolist(), answer.fallback_reason


async def _serve(one: Place, model: str, content: bytes, **facts: Any) -> None:
    """Register a model, and wait until it serves."""
    await one.register(model, "1.0.0", content, facts={"serving": facts})
    await one.client.admin.load_model(model)


async def test_another_answers_what_fails_and_the_answer_says_so(one: Place):
    """An error, then what cannot be meant; calls that do not fail are the version's own."""
    for fault, reason in ((Fault.ERRS, "error"), (Fault.NAN, "invalid")):
        model = fault.value
        await _serve(one, model, faulty(one, 2, fault))
        await _set(one, model, "spare")
        assert _said(await _ask(one, model)) == ("spare", "1.0.0", [9 * BAD, 0], reason)
        assert _said(await _ask(one, model, GOOD)) == (model, "1.0.0", [2 * GOOD, 0], "")


async def test_another_version_of_the_model_can_stand_in(one: Place):
    """Named as callers would; it is loaded for that."""
    await _serve(one, "old", times(7))
    await one.register("old", "1.1.0", faulty(one, 2, Fault.ERRS), aliases=["stable"])
    await _set(one, "old", pb.FallbackTarget(version="1.0.0"))
    await one.client.admin.load_model("old", "1.1.0")
    await eventually(lambda: one.serves("old", 7, "1.0.0"))
    assert _said(await _ask(one, "old")) == ("old", "1.0.0", [7 * BAD, 0], "error")


async def test_another_answers_what_takes_too_long_or_has_no_room(one: Place):
    """The caller waits for ten seconds, the version gets a fifth of one; then its queue is full."""
    await _serve(one, "late", looping(1, LONG), instances=1, queue={"max_calls": 1})
    await _set(one, "late", "spare", attempt_timeout_s=0.2)
    assert _said(await _ask(one, "late", timeout_s=10)) == ("spare", "1.0.0", [9 * BAD, 0], "timeout")
    answers = await asyncio.gather(*(_ask(one, "late", timeout_s=10) for _ in range(6)))
    assert {_said(answer)[0] for answer in answers} == {"spare"}
    reasons = {_said(answer)[3] for answer in answers}
    assert "overload" in reasons
    assert reasons <= {"overload", "timeout", "breaker"}


async def test_a_version_that_fails_again_and_again_is_not_asked_any_more(one: Place):
    """Also not with calls that it could answer, until somebody resets its breaker."""
    await _serve(one, "broken", faulty(one, 2, Fault.ERRS))
    await _set(one, "broken", "spare")
    said = [_said(await _ask(one, "broken"))[3] for _ in range(4)]
    assert said == ["error", "error", "error", "breaker"]
    assert _said(await _ask(one, "broken", GOOD)) == ("spare", "1.0.0", [9 * GOOD, 0], "breaker")
    (breaker,) = (await one.client.admin.get_split("broken")).breakers
    assert (breaker.version, breaker.state, breaker.retry_in_s > 3000) == ("1.0.0", "open", True)
    await one.client.admin.reset_breaker("broken")
    assert _said(await _ask(one, "broken", GOOD)) == ("broken", "1.0.0", [2 * GOOD, 0], "")


async def test_a_constant_answers_for_each_row(one: Place):
    """After a target that fails as well."""
    await _serve(one, "twin", faulty(one, 3, Fault.ERRS))
    await _serve(one, "constant", faulty(one, 2, Fault.ERRS))
    await _set(one, "constant", "twin", CONSTANT)
    rows = np.array([[BAD, 0]] * 3, np.float32)
    answer = await one.client.call("constant", {"x": rows})
    assert (answer.model, answer.version) == ("constant", "1.0.0")
    assert (answer.outputs["y"].tolist(), answer.fallback_reason) == ([[-1, -2]] * 3, "error")


async def test_when_nobody_can_answer_the_first_error_is_what_the_caller_hears(one: Place):
    """Row 90: not that of the last one who was asked."""
    await _serve(one, "hopeless", faulty(one, 2, Fault.ERRS))
    with pytest.raises(ServerFault) as alone:
        await _ask(one, "hopeless")
    await _serve(one, "absurd", faulty(one, 2, Fault.NAN))
    await _set(one, "hopeless", "errs", "absurd")
    with pytest.raises(ServerFault) as together:
        await _ask(one, "hopeless")
    assert (together.value.reason, together.value.code) == (alone.value.reason, alone.value.code)
    assert "errs" not in together.value.message


async def test_fallbacks_cannot_be_a_storm(one: Place):
    """Row 90: of very many calls that fail together, a tenth and a few is sent to others."""
    await _serve(one, "storm", faulty(one, 2, Fault.ERRS))
    await one.client.admin.set_fallback(
        "storm", pb.Fallback(targets=[pb.FallbackTarget(model="spare")], triggers=["error"])
    )
    ends = await asyncio.gather(*(_ask(one, "storm") for _ in range(STORM)), return_exceptions=True)
    assert {type(end) for end in ends} == {Prediction, ServerFault}
    rescued = sum(isinstance(end, Prediction) for end in ends)
    assert 1 <= rescued <= STORM * 0.1 + 20
    scraped = await scrape(one.server.http_port)
    assert scraped.total("serinus_fallbacks_total", model="storm", trigger="error") == rescued
    assert scraped.total("serinus_fallbacks_failed_total", model="storm", trigger="error") == STORM - rescued


REFUSED: Mapping[str, tuple[pb.Fallback, str]] = {
    "itself": (_to("a"), "is the model itself"),
    "a circle": (_to("spare", "c"), "leads back to the model: a -> c -> b -> a"),
    "other outputs": (_to("text"), "cannot stand in for a@1.0.0"),
    "an unknown model": (_to("nobody"), "nobody"),
    "an unknown version": (_to("spare@9.9.9"), "9.9.9"),
    "too many": (_to(*["spare"] * 5), "expected at most 4 entries, got 5"),
    "a constant that does not fit": (
        pb.Fallback(targets=[pb.FallbackTarget(constant_json='{"y": [1, 2, 3]}')]),
        "the constant answer does not fit a@1.0.0",
    ),
    "a constant that is none": (
        pb.Fallback(targets=[pb.FallbackTarget(constant_json="{")]),
        "constant",
    ),
    "a trigger that there is not": (_to("spare", triggers=["rain"]), "rain"),
    "a range of another output": (_to("spare", ranges={"z": pb.OutputRange()}), "has no output"),
}


@pytest.fixture(scope="module")
async def chained(one: Place) -> Place:
    """The server with models of which `c` falls back on `b`, and `b` on `a`; and one that takes texts."""
    await asyncio.gather(
        *(_serve(one, name, times(2)) for name in "abc"), one.register("text", "1.0.0", models.string_model())
    )
    await one.client.admin.set_fallback("b", _to("a"))
    await one.client.admin.set_fallback("c", _to("b"))
    return one


@pytest.mark.parametrize(("fallback", "words"), REFUSED.values(), ids=list(REFUSED))
async def test_a_fallback_that_could_not_answer_is_refused(chained: Place, fallback: pb.Fallback, words: str):
    """Rows 90 and 91: when it is set, with a sentence that says why; nothing is changed."""
    before = await chained.client.admin.get_split("a")
    with pytest.raises(InvalidInput) as refused:
        await chained.client.admin.set_fallback("a", fallback)
    assert words in refused.value.message
    assert_no_leak(Answer(refused.value.code, refused.value.message))
    assert await chained.client.admin.get_split("a") == before


async def test_a_breaker_is_reset_on_all_servers_at_once(forks: Nursery, home: Path):
    """Each has its own; an operator who asks one server resets them all."""
    async with pair(forks, home, tables=BREAKER) as (first, second):
        await first.register("spare", "1.0.0", times(9))
        await _serve(first, "m", faulty(first, 2, Fault.ERRS))
        await _set(first, "m", "spare")
        for each in (first, second):
            await eventually(lambda each=each: _trips(each))
        await second.client.admin.reset_breaker("m")
        for each in (first, second):
            await eventually(lambda each=each: _answers(each), 5)


async def _trips(each: Place) -> bool:
    """Fail once; whether the breaker is open now."""
    try:
        return _said(await _ask(each, "m"))[3] == "breaker"
    except SerinusError:
        return False  # it has not heard of the model, or of its fallback


async def _answers(each: Place) -> bool:
    """Whether the breaker is closed."""
    return _said(await _ask(each, "m", GOOD))[3] == ""
