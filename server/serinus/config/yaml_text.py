"""Reads YAML as mappings, lists and text, exactly as written: nothing in it becomes a date, an octal or an object.

The schema says later what a text means, so `code_revision: 0123456` keeps its zero and `learning_rate: 1.10` both its
digits. What a hostile document could blow up is bounded here: depth, size, and what aliases multiply.
"""

from typing import Protocol, cast

import yaml

from serinus.config.errors import ConfigError

MOST_VALUES = 100_000  # with all aliases written out; the names of 21841 classes fit
DEEPEST = 32

_LOADER = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # C reads ten times faster
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_TAGS = frozenset({"!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class _Mark(Protocol):
    """A place in a document, counted from 0; the C parser has a class of its own for it."""

    line: int
    column: int


class _Unreadable(Exception):
    """What is wrong with a document, and where."""

    def __init__(self, problem: str, mark: _Mark | None) -> None:
        super().__init__(problem + _where(mark))


def _where(mark: _Mark | None) -> str:
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


class _Open:
    """A mapping or a list whose end was not read yet."""

    __slots__ = ("anchor", "is_mapping", "key", "mapping", "sequence", "values_before")

    def __init__(self, event: yaml.CollectionStartEvent, values_before: int) -> None:
        self.is_mapping = isinstance(event, yaml.MappingStartEvent)
        self.mapping: dict[str, object] = {}
        self.sequence: list[object] = []
        self.key: str | None = None
        self.anchor = event.anchor
        self.values_before = values_before

    def add(self, value: object, mark: _Mark | None) -> None:
        if not self.is_mapping:
            self.sequence.append(value)
        elif self.key is None:
            if not isinstance(value, str):
                raise _Unreadable("expected text as a key", mark)
            if value in self.mapping:
                raise _Unreadable(f"the key {value[:64]!r} is given twice", mark)
            self.key = value
        else:
            self.mapping[self.key] = value
            self.key = None


class _Builder:
    """Puts events together, and counts."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._values = 0
        self._anchored: dict[str, tuple[object, int]] = {}
        self.document: object = None
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _Unreadable("expected one document", event.start_mark)
            case yaml.ScalarEvent():
                self._check_tag(event)
                text = event.value
                is_key = bool(self._open) and self._open[-1].is_mapping and self._open[-1].key is None
                is_nothing = not event.style and text in _NOTHING and not is_key
                self._put(None if is_nothing else text, event.anchor, 1, event.start_mark)
            case yaml.CollectionStartEvent():
                self._check_tag(event)
                if len(self._open) >= DEEPEST:
                    raise _Unreadable(f"expected at most {DEEPEST} levels", event.start_mark)
                self._open.append(_Open(event, self._values))
            case yaml.CollectionEndEvent():
                done = self._open.pop()
                whole: object = done.mapping if done.is_mapping else done.sequence
                self._put(whole, done.anchor, self._values - done.values_before + 1, event.start_mark)
            case yaml.AliasEvent():
                if (anchored := self._anchored.get(event.anchor or "")) is None:
                    # Nothing is known before its end, so an alias cannot hold itself.
                    raise _Unreadable("an alias names nothing before it", event.start_mark)
                value, size = anchored
                self._values += size - 1
                self._put(value, None, size, event.start_mark)

    def _put(self, value: object, anchor: str | None, size: int, mark: _Mark | None) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            raise _Unreadable(f"expected at most {MOST_VALUES} values, aliases written out", mark)
        if anchor is not None:
            self._anchored[anchor] = (value, size)
        if self._open:
            self._open[-1].add(value, mark)
        else:
            self.document = value

    @staticmethod
    def _check_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None and event.tag not in _TAGS:
            raise _Unreadable(f"expected no tag, got {event.tag[:64]!r}", event.start_mark)


def read_yaml(text: str, *, longest_bytes: int) -> object:
    """What `text` holds: nested `dict[str, ...]`, `list` and `str`; None for what is left empty or `null`.

    Args:
        text: One YAML document.
        longest_bytes: More than this is refused.

    Raises:
        ConfigError: it is too long, too deep, no YAML, or has tags, two documents, or a key twice.
    """
    try:
        size_bytes = len(text.encode())
        if size_bytes > longest_bytes:
            raise ConfigError([f"expected at most {longest_bytes} bytes of YAML, got {size_bytes}"])
        builder = _Builder()
        for event in yaml.parse(text, Loader=_LOADER):  # lazily: what is refused early is not read to its end
            builder.take(event)
    except UnicodeEncodeError as error:
        raise ConfigError(["cannot be read as YAML: it is not UTF-8 text"]) from error
    except _Unreadable as error:
        raise ConfigError([f"cannot be read as YAML: {error}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError([f"cannot be read as YAML{_where(getattr(error, 'problem_mark', None))}"]) from error
    return builder.document
