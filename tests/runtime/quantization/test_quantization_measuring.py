"""Timing turn by turn, on a clock and with models that are simulated."""

import random

import pytest

from serinus.core.errors import ModelFailed
from serinus.runtime.quantization.measuring import MOST_ROUNDS, Contender, lower_end, time_contenders


class Machine:
    """Simulated models on a machine whose speed changes; time passes only while they run."""

    def __init__(self, *, noise: float = 0.0, seed: int = 0) -> None:
        self.now = 0.0
        self._rng = random.Random(seed)
        self._noise = noise
        self.runs: list[str] = []

    def contender(self, name: str, seconds, most_rows: int = 32) -> Contender:
        def run(rows: int) -> float:
            # Slow phases of a tenth of a second come and go, as they do beside other programs.
            phase = 2.0 if int(self.now * 10) % 3 == 0 else 1.0
            took = seconds(rows) * phase * (1 + self._noise * self._rng.random())
            if self._rng.random() < self._noise * took / 0.02:
                took += 0.008  # another program had the processor
            self.now += took
            self.runs.append(name)
            return took

        return Contender(run, most_rows)

    def time(self, contenders, budget_s=1000.0):
        return time_contenders(contenders, "float", lambda: self.now, random.Random(1), budget_s=budget_s)


def linear(per_row, fixed=0.0):
    return lambda rows: fixed + per_row * rows


def test_the_best_batch_is_the_smallest_that_is_as_fast_as_any():
    """A model whose runs cost mostly their start gains from batches; one whose rows cost the same does not."""
    machine = Machine()
    timings = machine.time(
        {"float": machine.contender("float", linear(0.003, 0.02)), "form": machine.contender("form", linear(0.01))}
    )
    assert timings["float"].best_batch == 32
    assert timings["form"].best_batch == 1
    assert timings["form"].batch_1_s == timings["form"].best_batch_s


def test_a_model_that_is_not_joined_is_timed_alone():
    """The server would not join its rows, so nobody would have that speed."""
    machine = Machine()
    timings = machine.time(
        {
            "float": machine.contender("float", linear(0.001, 0.02)),
            "form": machine.contender("form", linear(0.001, 0.01), most_rows=1),
        }
    )
    assert timings["form"].best_batch == 1
    assert timings["form"].speedup < 1 < timings["float"].best_batch


def test_large_batches_that_lose_are_not_tried_further():
    """After two doublings without a gain, the rest is not measured."""
    machine, sizes = Machine(), set()

    def seconds(rows):
        sizes.add(rows)
        return 0.01 * rows**3

    machine.time({"float": machine.contender("float", seconds)})
    assert sizes == {1, 2, 4}


def test_a_batch_that_does_not_fit_is_no_best_batch():
    """A model that fails on many rows, for want of memory or otherwise, is timed with fewer."""
    machine = Machine()

    def seconds(rows):
        if rows > 4:
            raise ModelFailed("too much")
        return 0.01

    timings = machine.time({"float": machine.contender("float", seconds)})
    assert timings["float"].best_batch == 4


def test_a_true_difference_is_seen_through_noise():
    """Ratios of neighbouring runs do not mind that the machine is twice as slow for a while."""
    machine = Machine(noise=0.3)
    timings = machine.time(
        {"float": machine.contender("float", linear(0.010)), "form": machine.contender("form", linear(0.0085))}
    )
    assert timings["form"].speedup_at_least > 1.0
    assert timings["form"].speedup == pytest.approx(1.18, abs=0.08)


def test_no_difference_is_not_taken_for_one():
    """Of many equal forms on a noisy machine, hardly one is called faster, whatever batch looked best at first."""
    wrong = 0
    for seed in range(40):
        machine = Machine(noise=0.8, seed=seed)
        equal = {name: machine.contender(name, linear(0.003)) for name in ("float", "a", "b", "c", "d", "e")}
        timings = machine.time(equal, budget_s=3.0)
        wrong += sum(timing.speedup_at_least > 1.0 for name, timing in timings.items() if name != "float")
    assert wrong <= 4  # of 200


def test_hopeless_forms_take_a_few_turns_only():
    """That a form is several times slower is clear at once; its turns would take the time of the others."""
    machine = Machine()
    timings = machine.time(
        {"float": machine.contender("float", linear(0.01)), "form": machine.contender("form", linear(0.05))}
    )
    assert timings["form"].speedup == pytest.approx(0.2, rel=0.5)
    assert timings["form"].speedup_at_least == 0.0
    assert machine.runs.count("form") < MOST_ROUNDS < machine.runs.count("float")


def test_timing_ends_when_its_time_is_over():
    """One turn is always made; a form that was measured too rarely cannot win."""
    machine = Machine()
    timings = machine.time(
        {"float": machine.contender("float", linear(10)), "form": machine.contender("form", linear(5))}, budget_s=1.0
    )
    assert timings["form"].batch_1_s > 0
    assert timings["form"].speedup_at_least == 0.0


def test_a_clock_that_stands_still_does_not_hold_it_up():
    """Runs shorter than the clock's steps are repeated, and not for ever."""
    timings = time_contenders(
        {"float": Contender(lambda _: 0.0, 1)}, "float", lambda: 0.0, random.Random(0), budget_s=1.0
    )
    assert timings["float"].batch_1_s < 1e-6


@pytest.mark.parametrize(("count", "expected"), [(0, 0.0), (7, 0.0), (8, 1.0), (11, 1.0), (12, 2.0), (41, 12.0)])
def test_the_lower_end_is_read_off_the_order_of_the_ratios(count, expected):
    """With 8 ratios all must be above; with 41, the twelfth smallest is."""
    assert lower_end([float(number) for number in range(count, 0, -1)]) == expected
