"""The log: one line a decision, whoever wrote it and whatever is in it."""

import contextlib
import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from serinus.telemetry.logs import LEVELS, Logs, LogSwitches, configure_logs, get_logger

log = get_logger("serinus.test")

INJECTIONS = [
    'x"}\n{"level":"error","event":"forged"}',
    "a\r\nb",
    "\x1b[2J\x1b[31mred",
    "\u2028\u2029\x85",
    "\x00\x07\x7f",
    "y" * 1_000_000,
    "\ud800",
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def logged(stream: io.StringIO, level: str = "info", *, json: bool = True) -> Iterator[Logs]:
    logs = configure_logs(stream, level, json=json)
    try:
        yield logs
    finally:
        logs.close()


def events(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_its_fields():
    """When in UTC, how bad, who, what, then the fields."""
    stream = io.StringIO()
    with logged(stream):
        log.info("rollout advanced", model="magika", weight=0.25)
    (event,) = events(stream)
    assert list(event) == ["time", "level", "logger", "event", "model", "weight"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(event.pop("time")))
    assert event == {
        "level": "info",
        "logger": "serinus.test",
        "event": "rollout advanced",
        "model": "magika",
        "weight": 0.25,
    }


@pytest.mark.parametrize("text", INJECTIONS, ids=lambda text: ascii(text[:12]))
def test_hostile_text_stays_inside_its_field(text: str):
    """Wherever callers' text lands, there is one short line, one object, and no second event."""
    stream = io.StringIO()
    with logged(stream):
        log.info(text, name=text, key={text: text})
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue()[:-1].isprintable()
    assert len(stream.getvalue()) < 10_000
    (event,) = events(stream)
    assert str(event["event"])[:1024] == str(event["name"])[:1024] == text[:1024]


@pytest.mark.parametrize("text", INJECTIONS, ids=lambda text: ascii(text[:12]))
def test_a_terminal_gets_one_line_that_it_does_not_obey(text: str):
    """The console escapes what would move the cursor, and is not coloured unless it is a terminal."""
    stream = io.StringIO()
    with logged(stream, json=False):
        log.info(text, name=text)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue()[:-1].isprintable()


def test_only_a_terminal_is_coloured():
    """Our own escapes go to terminals; a caller's do not even there."""
    stream = Terminal()
    with logged(stream, json=False):
        log.info("hello", name="\x1b[5mblink")
    assert "\x1b[" in stream.getvalue()
    assert "\x1b[5m" not in stream.getvalue()


def test_libraries_write_through_the_same_renderer():
    """A record of the standard library becomes an event, its arguments filled in."""
    stream = io.StringIO()
    with logged(stream):
        logging.getLogger("uvicorn.error").warning(
            "odd request from %s\n", "127.0.0.1", extra={"color_message": "\x1b[1m"}
        )
    (event,) = events(stream)
    event.pop("time")
    assert event == {"level": "warning", "logger": "uvicorn.error", "event": "odd request from 127.0.0.1\n"}


def test_fields_cannot_pretend_to_be_the_record():
    """A field named as one of the four comes out under another name."""
    stream = io.StringIO()
    with logged(stream):
        log.info("event", level="error", time=0, logger="root")
    (event,) = events(stream)
    assert (event["level"], event["logger"]) == ("info", "serinus.test")
    assert (event["field_level"], event["field_time"], event["field_logger"]) == ("error", 0, "root")


@pytest.mark.parametrize("as_json", [True, False])
def test_an_exception_shows_its_traceback_without_local_variables(as_json: bool):  # noqa: FBT001 - a table's column
    """The stack is there to find the bug by; what the variables held is not ours to write down."""
    stream = io.StringIO()
    with logged(stream, json=as_json):
        try:
            secret_rows = [1234567]
            raise ValueError(f"{len(secret_rows)} row\x1b[2J")  # noqa: TRY301 - the traceback is what is tested
        except ValueError as error:
            log.error("unexpected error", exc_info=error)  # noqa: TRY400 - handlers that have the error pass it on
    text = stream.getvalue()
    shown = str(events(stream)[0]["exception"]) if as_json else text
    assert "test_an_exception_shows" in shown
    assert "ValueError: 1 row" in shown
    assert "1234567" not in text
    assert "\x1b" not in text


def test_a_record_that_cannot_be_rendered_is_one_line_that_says_so():
    """A library's wrong format string neither raises nor prints a traceback over the log."""
    stream = io.StringIO()
    with logged(stream):
        # Straight to our handler, because pytest's own raises what it cannot render.
        record = logging.LogRecord("library", logging.ERROR, "", 0, "%d rows", ("no number",), None)
        logging.root.handlers[-1].handle(record)
        log.info("still here")
    lost, here = events(stream)
    assert (lost["event"], lost["logger"], lost["error"]) == ("log record lost", "library", "TypeError")
    assert here["event"] == "still here"


def test_a_closed_stream_loses_lines_quietly(capfd):
    """Logging never fails what is being logged about."""
    stream = io.StringIO()
    with logged(stream):
        stream.close()
        log.info("to nobody")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("warning", ["warning", "error", "critical"]),
        ("error", ["error", "critical"]),
    ],
)
def test_the_level_changes_at_run_time(level: str, shown: list[str]):
    """From the next record on, our loggers and the libraries' follow."""
    stream = io.StringIO()
    with logged(stream, "info") as logs:
        logs.set_level(level)
        for name in (*LEVELS, "critical"):
            getattr(log, name)("ours")
            getattr(logging.getLogger("library"), name)("theirs")
    assert [(event["level"], event["event"]) for event in events(stream)] == [
        pair for name in shown for pair in ((name, "ours"), (name, "theirs"))
    ]


def test_each_kind_has_a_switch_of_its_own():
    """As in the protocol's LogSettings, warnings can be off while decisions are written."""
    stream = io.StringIO()
    with logged(stream) as logs:
        logs.switch(replace(logs.switches, warning=False, verbose_level=2))
        for name in LEVELS:
            getattr(log, name)(name)
        logs.switch(LogSwitches(error=False, warning=False, info=False))
        for name in (*LEVELS, "critical"):
            getattr(log, name)(name)
        assert repr(logs) == "<Logs LogSwitches(error=False, warning=False, info=False, verbose_level=0)>"
    assert [event["event"] for event in events(stream)] == ["debug", "info", "error"]


@pytest.mark.parametrize("level", ["", "INFO", "trace", "x" * 1000])
def test_an_unknown_level_is_refused_with_the_known_ones(level: str):
    """The sentence names what is allowed, and repeats little of what was given."""
    with pytest.raises(ValueError, match="expected one of debug, info, warning, error") as caught:
        configure_logs(io.StringIO(), level, json=True)
    assert len(str(caught.value)) < 120


def test_closing_gives_the_root_logger_back():
    """The process's logging is as it was."""
    before = (logging.root.level, list(logging.root.handlers))
    with logged(io.StringIO(), "debug"):
        assert (logging.root.level, list(logging.root.handlers)) != before
    assert (logging.root.level, list(logging.root.handlers)) == before
