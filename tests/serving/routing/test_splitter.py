"""A key has the same arm everywhere and for ever, and arms get what their weights say."""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from serinus.core.traffic import WHOLE, Arm, TrafficSplit
from serinus.core.version import ModelVersion, Version
from serinus.serving.routing.splitter import Splitter, bucket

KEYS = 1_000_000
WEIGHTS = (1, 10, 100, 500, 5000)  # 0.01, 0.1, 1, 5 and 50 percent

weights = st.lists(st.integers(0, WHOLE), max_size=4).map(
    lambda cuts: [b - a for a, b in itertools.pairwise([0, *sorted(cuts), WHOLE])]
)


def splitter(*parts: int, salt: str = "s", seed: int = 1) -> Splitter:
    """Of versions 1, 2, 3 and so on."""
    arms = tuple(Arm(ModelVersion("m", Version(n), n), weight) for n, weight in enumerate(parts, 1))
    return Splitter(TrafficSplit(salt, arms), random.Random(seed))


def uuids() -> Iterator[str]:
    rng = random.Random(11)
    while True:
        digits = f"{rng.getrandbits(128):032x}"  # uuid.UUID would take most of the test's time
        yield f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def single_characters() -> Iterator[str]:
    return (chr(point) for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000)


def unicode_texts() -> Iterator[str]:
    return (f"пользователь-{chr(0x4E00 + n % 20_000)}-{n}" for n in itertools.count())


FAMILIES: dict[str, Callable[[], Iterator[str]]] = {
    "uuid": uuids,
    "sequential": lambda: map(str, itertools.count()),
    "shared prefix": lambda: (f"tenant/eu-west-1/production/user/{n:012}" for n in itertools.count()),
    "unicode": unicode_texts,
    "one character": single_characters,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_arms_get_their_share_of_every_family_of_keys(family: str):
    """Chi-square over a million keys for five weights, and over all buckets at once."""
    keys = itertools.islice(FAMILIES[family](), KEYS)
    counts = np.bincount([bucket("rollout-7", key) for key in keys], minlength=WHOLE)
    assert counts.sum() == KEYS
    below = counts.cumsum()
    p_values = {
        weight: stats.chisquare(
            [below[weight - 1], KEYS - below[weight - 1]], [KEYS * weight / WHOLE, KEYS * (1 - weight / WHOLE)]
        ).pvalue
        for weight in WEIGHTS
    }
    assert {weight: p for weight, p in p_values.items() if p <= 1e-4} == {}
    assert stats.chisquare(counts).pvalue > 1e-4


def test_salts_are_independent():
    """The p-values of a thousand salts are uniform, so none of them favours an arm, nor do all together."""
    p_values = []
    for salt in range(1000):
        counts = np.bincount([bucket(f"salt-{salt}", f"user-{n}") * 20 // WHOLE for n in range(1000)], minlength=20)
        p_values.append(stats.chisquare(counts).pvalue)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4


def test_a_bucket_is_the_first_eight_bytes_of_the_hash():
    """Written down once, because servers of all versions must agree."""
    digest = hashlib.sha256(b"salt\0user-1").digest()
    assert bucket("salt", "user-1") == int.from_bytes(digest[:8], "big") % 10_000 == 2642
    assert [bucket("a", "bc"), bucket("ab", "c")] == [7297, 5165]


@given(st.text(), st.text(), weights)
def test_a_key_is_sticky(salt: str, key: str, parts: list[int]):
    """Two splitters with other random numbers agree, and an arm of weight 0 gets nothing."""
    place = splitter(*parts, salt=salt, seed=1).place(key or "k")
    assert place == splitter(*parts, salt=salt, seed=2).place(key or "k")
    assert parts[place] > 0


@given(st.text(min_size=1), st.integers(0, WHOLE), st.integers(0, WHOLE))
def test_raising_a_weight_moves_no_key_back(key: str, one: int, other: int):
    """Who is in the first arm stays there."""
    low, high = sorted((one, other))
    if splitter(low, WHOLE - low).place(key) == 0:
        assert splitter(high, WHOLE - high).place(key) == 0


def test_calls_without_a_key_are_drawn_one_by_one():
    """In the proportions of the weights, from the random numbers that were handed in."""
    drawn = splitter(2500, 7500, seed=5)
    places = [drawn.place("") for _ in range(10_000)]
    assert stats.binomtest(places.count(0), 10_000, 0.25).pvalue > 1e-4
    again = splitter(2500, 7500, seed=5)
    assert [again.place("") for _ in range(10_000)] == places


def test_a_key_that_is_no_text_has_a_bucket_all_the_same():
    """A lone surrogate."""
    assert 0 <= bucket("s", "\ud800") < WHOLE
