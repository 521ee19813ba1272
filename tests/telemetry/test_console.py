"""The log as people see it."""

import re

from serinus.telemetry.console import coloured_line, plain_line

FIELDS = {
    "time": "2026-11-22T08:45:40.436Z",
    "level": "info",
    "logger": "serinus.test",
    "event": "rollout advanced",
    "weight": 0.25,
    "model": "magika",
    "why": "two words",
    "tags": ["a=b", "c"],
    "rule": "a=b",
    "said": 'a"b',
}
LINE = (
    "2026-11-22T08:45:40.436Z [info     ] rollout advanced               [serinus.test]"
    " model=magika rule='a=b' said='a\"b' tags=['a=b', 'c'] weight=0.25 why='two words'"
)


def test_a_line_has_the_event_first_and_its_fields_by_name():
    """What could be read as another field or as several words is in quotes."""
    assert plain_line(FIELDS) == LINE


def test_a_line_in_colours_says_the_same():
    """Colours are all that it has more; what is bad looks bad."""
    coloured = coloured_line(FIELDS)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == LINE
    assert "\x1b[32m\x1b[1minfo     \x1b[0m" in coloured
    assert "\x1b[31m\x1b[1merror    \x1b[0m" in coloured_line({**FIELDS, "level": "error"})
