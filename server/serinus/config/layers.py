"""Where settings come from: the file, the environment and the flags, each a layer; a later one counts more."""

import dataclasses
import enum
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from serinus.config.errors import ConfigError
from serinus.config.models import ModelSpec
from serinus.config.schema import Key, resolve_paths

_PREFIX = "SERINUS_"
_SEPARATOR = "__"


class Origin(enum.StrEnum):
    """Who said a value."""

    FLAG = "flag"
    ENV = "env"
    FILE = "file"
    DEFAULT = "default"


@dataclasses.dataclass(frozen=True)
class Layer:
    """What one origin said.

    Attributes:
        origin: Which it is.
        values: Nested tables.
        name: What the operator calls it.
    """

    origin: Origin
    values: Mapping[str, object]
    name: str = ""

    def source(self, key: tuple[str, ...]) -> str:
        """How the operator would find the place where this layer says `key`."""
        if self.origin is Origin.ENV:
            return f"from {_PREFIX}{_SEPARATOR.join(key).upper()}"
        return f"from {self.name or f'a {self.origin}'}"


@dataclasses.dataclass(frozen=True)
class Merged:
    """All layers together.

    Attributes:
        values: Nested tables.
        said_by: The layer that decided, by key of a value.
    """

    values: dict[str, object]
    said_by: dict[tuple[str, ...], Layer]

    def source(self, key: Key) -> str:
        """Where the operator finds what was said at `key`; "" if nobody said it, or several said parts of it."""
        words = tuple(str(part) for part in key if part != "[key]")
        for length in range(len(words), 0, -1):
            if (layer := self.said_by.get(words[:length])) is not None:
                return layer.source(words[:length])
        below = {layer.source(place) for place, layer in self.said_by.items() if place[: len(words)] == words}
        return below.pop() if len(below) == 1 else ""


def file_layer(path: Path, root: type[BaseModel]) -> Layer:
    """What a TOML file says; its relative paths start at its own folder.

    Raises:
        ConfigError: there is no such file, or it is not TOML.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error
    resolved = resolve_paths(values, root, path.parent)
    assert isinstance(resolved, dict), "this is a bug: a TOML document is a table"
    return Layer(Origin.FILE, resolved, name=path.name)


def environment_layer(environ: Mapping[str, str], root: type[BaseModel]) -> Layer:
    """What `SERINUS_SECTION__KEY=value` says; `SERINUS_KEY` counts only where `key` is a known top-level key.

    Other such names are left alone: `SERINUS_SERVER` is for clients, and Kubernetes sets `SERINUS_PORT` and more by
    itself beside a service named serinus.
    """
    values: dict[str, object] = {}
    for name, value in sorted(environ.items()):
        if not name.startswith(_PREFIX):
            continue
        key = name.removeprefix(_PREFIX).lower().split(_SEPARATOR)
        if len(key) > 1 or key[0] in root.model_fields:
            _put(values, key, value)
    return Layer(Origin.ENV, values)


def flag_layer(flags: Mapping[str, object]) -> Layer:
    """What the command line says: value by dotted key; None stands for a flag that was not given.

    Raises:
        ConfigError: a model is named twice.
    """
    values: dict[str, object] = {}
    for name, value in flags.items():
        if name == "models":
            assert isinstance(value, Sequence), "this is a bug: the flags' models are ModelSpecs"
            values |= {name: _named_once(value)} if value else {}
        elif value is not None:
            _put(values, name.split("."), value)
    return Layer(Origin.FLAG, values)


def merge(layers: Iterable[Layer]) -> Merged:
    """One nested table out of several, the layer that counts least first."""
    merged = Merged({}, {})
    for layer in layers:
        _forget_replaced_files(merged, layer)
        _overlay(merged.values, layer.values, (), layer, merged.said_by)
    return merged


def _named_once(specs: Sequence[ModelSpec]) -> dict[str, object]:
    tables: dict[str, object] = {}
    for spec in specs:
        if spec.name in tables:
            raise ConfigError([f"--model: expected each name once, got {spec.name!r} twice"])
        tables[spec.name] = {"versions": dict(spec.versions)}
    return tables


def _put(values: dict[str, object], key: Sequence[str], value: object) -> None:
    for part in key[:-1]:
        table = values.get(part)
        if not isinstance(table, dict):
            table = values[part] = {}
        values = table
    values[key[-1]] = value


def _forget_replaced_files(merged: Merged, layer: Layer) -> None:
    # `path` and `versions` exclude each other: who says one of them takes back the other, said in a lower layer.
    tables, known = layer.values.get("models"), merged.values.get("models")
    if not (isinstance(tables, dict) and isinstance(known, dict)):
        return
    for name, table in tables.items():
        if isinstance(table, dict) and table.keys() & {"path", "versions"} and isinstance(known.get(name), dict):
            known[name] = {key: value for key, value in known[name].items() if key not in {"path", "versions"}}


def _overlay(
    below: dict[str, object],
    above: Mapping[str, object],
    key: tuple[str, ...],
    layer: Layer,
    said_by: dict[tuple[str, ...], Layer],
) -> None:
    for name, value in above.items():
        place = (*key, str(name))
        if isinstance(value, Mapping):
            table = below.get(name)
            if not isinstance(table, dict):
                table = below[name] = {}
            _overlay(table, value, place, layer, said_by)
        else:
            below[name] = value
        if not isinstance(value, Mapping) or not value:
            said_by[place] = layer
