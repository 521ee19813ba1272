"""Examples of calls that two versions answered differently."""

import random
from collections import Counter

import numpy as np

from serinus.serving.mirroring.copy_queue import size_of
from serinus.serving.mirroring.disagreements import MOST_BYTES, MOST_EXAMPLES, Disagreement, Reservoir


def found(number: int, *, inputs: int = 1, answer: int = 1) -> Disagreement:
    """A disagreement with that many bytes of inputs, and of each answer."""
    tensors = ({"t": np.full(size, number % 256, np.uint8)} for size in (inputs, answer, answer))
    return Disagreement(0.0, str(number), *tensors, f"number {number}")


def total_bytes(reservoir: Reservoir) -> int:
    return sum(size_of(each.inputs) + size_of(each.baseline) + size_of(each.candidate) for each in reservoir.examples)


def test_the_first_are_all_kept():
    """In order."""
    reservoir = Reservoir(random.Random(0))
    for number in range(MOST_EXAMPLES):
        reservoir.add(found(number))
    assert [each.request_id for each in reservoir.examples] == [str(number) for number in range(MOST_EXAMPLES)]


def test_each_has_the_same_chance():
    """First or last; 20 of 60 are kept, a third of 1500 times each."""
    kept: Counter[str] = Counter()
    rng = random.Random(5)
    examples = [found(number) for number in range(60)]
    for _ in range(1500):
        reservoir = Reservoir(rng)
        for each in examples:
            reservoir.add(each)
        kept.update(each.request_id for each in reservoir.examples)
    assert sum(kept.values()) == 1500 * MOST_EXAMPLES
    assert len(kept) == 60
    # Four standard deviations around 500.
    assert all(abs(count - 500) < 4 * (1500 * (1 / 3) * (2 / 3)) ** 0.5 for count in kept.values())


def test_tensors_are_copies():
    """What they were read from is free."""
    original = found(1)
    reservoir = Reservoir(random.Random(0))
    reservoir.add(original)
    original.inputs["t"][:] = 99
    (kept,) = reservoir.examples
    assert kept.inputs["t"].tolist() == [1]


def test_what_does_not_fit_is_kept_without_its_tensors():
    """Inputs go first: the answers are what differs."""
    reservoir = Reservoir(random.Random(0))
    reservoir.add(found(1, inputs=MOST_BYTES - 100, answer=50))
    reservoir.add(found(2, inputs=1, answer=1))
    reservoir.add(found(3, inputs=1, answer=0))
    examples = [(size_of(each.inputs), size_of(each.baseline), size_of(each.candidate)) for each in reservoir.examples]
    assert examples == [(MOST_BYTES - 100, 50, 50), (0, 0, 0), (0, 0, 0)]
    other = Reservoir(random.Random(0))
    other.add(found(1, inputs=MOST_BYTES, answer=50))
    assert [size_of(each.inputs) for each in other.examples] == [0]
    assert total_bytes(other) == 100


def test_memory_is_bounded_and_comes_free():
    """However large they are and however long it goes on."""
    rng = random.Random(1)
    reservoir = Reservoir(rng)
    for number in range(500):
        reservoir.add(found(number, inputs=rng.randrange(1 << 20), answer=rng.randrange(1 << 10)))
        assert total_bytes(reservoir) <= MOST_BYTES
    assert repr(reservoir) == f"<Reservoir 20 of 500, {total_bytes(reservoir)} bytes>"
