"""Numbers as people read them."""

import json
import math

import pytest

from serinus.cli import units
from serinus.cli.output import print_json


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "-"), (8.5e-5, "85 µs"), (0.00125, "1.25 ms"), (0.125, "125 ms"), (2.5, "2.50 s"), (75, "75.0 s")],
)
def test_durations_have_three_digits(value, text):
    """In the unit that suits them."""
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-1, "0 s"), (0, "0 s"), (4.25, "4.2 s"), (9.99, "10 s"), (45.4, "45 s"), (60, "1 min"), (125, "2 min 5 s"),
        (3600, "1 h"), (4800, "1 h 20 min"), (86_400, "1 d"), (101_000, "1 d 4 h"), (30 * 86_400, "30 d"),
    ],
)  # fmt: skip
def test_periods_have_two_units(value, text):
    """Nobody waits a day and four hours to the second."""
    assert units.period(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.05, "5 %"), (0.00125, "0.12 %"), (3e-7, "3e-05 %"), (1, "100 %"), (0.99999, "100 %")],
)
def test_shares_are_percents(share, text):
    """To a hundredth; smaller ones are not nothing."""
    assert units.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0, "0"), (0.5, "0.50"), (12.5, "12.5"), (999, "999"), (12_345, "12.3k")]
)
def test_rates_have_three_digits(value, text):
    """Thousands have a letter."""
    assert units.rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1536, "1.50 KiB"),
        (512 << 20, "512 MiB"),
        (3 << 30, "3.00 GiB"),
        (5 << 40, "5.00 TiB"),
    ],
)
def test_sizes_have_binary_units(value, text):
    """As memory is counted."""
    assert units.size(value) == text


def test_numbers_that_json_does_not_have_are_words(capsys):
    """Every JSON parser reads what we write."""
    print_json({"a": [1.5, math.nan, (math.inf, -math.inf)], "b": {"c": None}})
    written = capsys.readouterr().out
    assert json.loads(written) == {"a": [1.5, "NaN", ["Infinity", "-Infinity"]], "b": {"c": None}}
    assert written.count("\n") == 1
