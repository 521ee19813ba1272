"""When something is given up because memory runs out, and when it is taken up again."""

import pytest

from serinus.serving.pressure import Pressure, PressureLevel, next_level

NORMAL, HIGH, FULL = PressureLevel


@pytest.mark.parametrize(
    ("before", "used", "after"),
    [
        (NORMAL, 0.0, NORMAL),
        (NORMAL, 0.8999, NORMAL),
        (NORMAL, 0.9, HIGH),
        (NORMAL, 0.95, FULL),  # a jump skips a level
        (HIGH, 0.885, HIGH),
        (HIGH, 0.8799, NORMAL),
        (HIGH, 0.9499, HIGH),
        (HIGH, 0.95, FULL),
        (FULL, 0.945, FULL),
        (FULL, 0.9399, HIGH),
        (FULL, 0.885, HIGH),
        (FULL, 0.5, NORMAL),
        (FULL, 1.5, FULL),
    ],
)
def test_a_level_ends_below_where_it_began(before: PressureLevel, used: float, after: PressureLevel):
    """Otherwise what is freed by giving up samples would bring them back at once, and fill memory again."""
    assert next_level(before, used, high=0.9, full=0.95) is after


def test_without_a_limit_there_is_no_pressure():
    """A machine that does not say how much memory there is."""
    pressure = Pressure(high=0.9, full=0.95)
    assert (pressure.read(1 << 60, 0), pressure.used) == (NORMAL, 0.0)


def test_the_last_reading_counts():
    """Up at once, and by its own steps down."""
    pressure = Pressure(high=0.9, full=0.95)
    assert [pressure.read(used, 100) for used in (50, 96, 94, 89, 50)] == [NORMAL, FULL, FULL, HIGH, NORMAL]
    assert repr(pressure) == "<Pressure NORMAL 50%>"
