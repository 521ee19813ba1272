"""What callers wrote, made safe to write down."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.telemetry.log_fields import (
    LONGEST_TRACEBACK,
    as_json,
    bounded,
    printable,
    shortened_traceback,
    visible,
    visible_lines,
)


class Sulking:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (0.5, 0.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (10**5000, f"an integer of {(10**5000).bit_length()} bits"),
        ("x" * 1024, "x" * 1024),
        ("x" * 1_000_000, "x" * 1024 + "… (1000000 characters)"),
        (b"\x00\xff", "b'\\x00\\xff'"),
        ({"a": {"b": 1}, 3: "y" * 200}, {"a": "…", "3": "y" * 128 + "… (200 characters)"}),
        (("a", ["b"]), ["a", "…"]),
        (range(10**9), "range(0, 1000000000)"),
        (Sulking(), "<Sulking that cannot be shown>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_field_of_any_type_is_bounded(value, written):
    """Text keeps its beginning and says how long it was; containers keep one level; nothing raises."""
    assert bounded(value) == written


@pytest.mark.parametrize("value", [list(range(10_000)), dict.fromkeys(range(10_000), 0), b"x" * 1_000_000], ids=type)
def test_large_values_keep_their_beginning(value):
    """No value makes a long line."""
    assert len(as_json({"field": bounded(value)})) < 1200


def test_a_traceback_keeps_its_end():
    """What was raised stands last."""
    shown = shortened_traceback("a" * 50_000 + "ValueError: 7")
    assert shown.startswith("(50013 characters) …aaa")
    assert shown.endswith("aaaValueError: 7")
    assert len(shown) < LONGEST_TRACEBACK + 50
    assert shortened_traceback("short") == "short"


@settings(deadline=None)  # a busy machine is no bug
@given(st.dictionaries(st.text(), st.text()))
def test_json_is_one_line_of_plain_ascii_that_reads_back(fields: dict[str, str]):
    """Every character survives and none of them ends a line, moves a cursor or leaves ASCII."""
    line = as_json(fields)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == fields


@settings(deadline=None)  # a busy machine is no bug
@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_terminal_obeys_nothing(value):
    """Whatever a field holds, only printable characters are left."""
    shown = printable(value)
    texts = [shown]
    while texts:
        match texts.pop():
            case str() as text:
                assert text.isprintable()
            case dict() as items:
                texts += [*items.keys(), *items.values()]
            case list() as items:
                texts += items


def test_escapes_are_readable():
    """Printable text of any script stays; the rest is written as Python writes it."""
    assert visible("naïve ✓\x1b[31m\u2028\r\n\x7f\ud800") == "naïve ✓\\x1b[31m\\u2028\\r\\n\\x7f\\ud800"
    assert visible_lines("a\n\x1bb") == "a\n\\x1bb"
