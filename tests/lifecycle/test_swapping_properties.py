"""Plans change, loads fail, callers never notice."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.errors import ModelRejected, ServerError, StoreUnavailable
from serinus.core.predictor import Request
from serinus.lifecycle.plan import ModelPlan
from tests.lifecycle.conftest import World, world
from tests.lifecycle.plans import plan_of, spec_of
from tests.support.virtual_loop import run_virtual

TEXTS = ("1.0.0", "2.0.0", "3.0.0")


class Slow(asyncio.Event):
    """Every load, and every call, takes a while of its own."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    async def wait(self) -> bool:  # type: ignore[override]  # True, always
        await asyncio.sleep(self._rng.random())
        return True


def any_plan(rng: random.Random, aliases: tuple[str, ...]) -> ModelPlan:
    """At least one version, and each alias on one of them."""
    texts = rng.sample(TEXTS, rng.randint(1, 3))
    specs = [spec_of(text, reject_nonfinite=rng.random() < 0.3) for text in texts]
    return plan_of(*specs, aliases={alias: rng.choice(texts) for alias in aliases})


async def churn(made: World, rng: random.Random, aliases: tuple[str, ...]) -> None:
    """Change what is wanted, thirty times."""
    for _ in range(30):
        for number in (100, 200, 300):
            made.loader.failing.pop(number, None)
            if rng.random() < 0.2:
                made.loader.failing[number] = rng.choice([ModelRejected("bad"), StoreUnavailable("away")])
        if rng.random() < 0.8:
            made.models.apply(any_plan(rng, aliases))
        else:
            reloading = asyncio.create_task(made.models.reload(any_plan(rng, aliases)))
            await asyncio.wait((reloading,), timeout=rng.random() * 3)
            reloading.cancel()
            await asyncio.wait((reloading,))
            if not reloading.cancelled():
                assert isinstance(reloading.exception(), ServerError | None)
        await asyncio.sleep(rng.random() * 2)


async def call_on_and_on(made: World, rng: random.Random, version: str, refusals: list[str]) -> None:
    while True:
        try:
            await made.models.predict(Request({}, 1e9, model="m", version=version))
        except ServerError as error:
            refusals.append(f"{version!r}: {error.reason}")
        await asyncio.sleep(rng.random() * 0.2)


async def season(seed: int) -> None:
    rng = random.Random(seed)
    aliases = ("stable", "canary")[: seed % 3]
    made = world(clock=asyncio.get_running_loop().time)
    made.loader.gates = {number: Slow(rng) for number in (100, 200, 300)}
    made.loader.gate = lambda: Slow(rng)
    refusals: list[str] = []
    async with made.models:
        made.models.apply(plan_of("1.0.0", aliases=dict.fromkeys(aliases, "1.0.0")))
        await made.models.settled("m")
        callers = [
            asyncio.create_task(call_on_and_on(made, rng, name, refusals)) for name in ("", "latest", ">=1", *aliases)
        ]
        await churn(made, rng, aliases)
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
        assert all(caller.cancelled() for caller in callers), "a call reached a version that was closing"
    assert refusals == []
    assert [servable for servable in made.loader.made if servable.closes != 1] == []
    assert made.models.used_bytes == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 30))
def test_no_call_is_lost_while_what_is_wanted_changes(seed: int):
    """There was one version that served; from then on every call to the model is answered."""
    run_virtual(season(seed))
