"""What a command line says about a version: a YAML file, and flags that add to it or replace parts of it."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from serinus.cli.output import CommandFailed, ExitCode
from serinus.config.dvc_file import training_data_hash_of
from serinus.config.errors import ConfigError
from serinus.config.version_facts import LONGEST_FACTS_BYTES, parse_version_facts
from serinus.config.yaml_text import read_yaml

_DVC = ".dvc"


@dataclasses.dataclass(frozen=True)
class Said:
    """What the flags say; "" and {} where they say nothing.

    Attributes:
        metrics: Number by name, as text.
        tags: Text by name.
        framework: What the version was trained with.
        author: Who made it.
        training_data_hash: "sha256:…", "md5:…", or the path of a `.dvc` file.
        card: Path of the author's sections of the model card.
    """

    metrics: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    framework: str = ""
    author: str = ""
    training_data_hash: str = ""
    card: Path | None = None


def facts_yaml(file: Path | None, said: Said) -> str:
    """The facts of a version as the registry takes them, checked.

    Raises:
        CommandFailed: a file cannot be read, or the facts cannot be meant; a sentence for each thing.
    """
    text = "" if file is None else _read("--facts", file)
    more = {
        "framework": said.framework,
        "author": said.author,
        "training_data_hash": _data_hash(said.training_data_hash),
        "card": "" if said.card is None else _read("--card", said.card),
    }
    more = {key: value for key, value in more.items() if value}
    place = "" if file is None else f"{file}: "
    try:
        if more or said.metrics or said.tags:
            text = _joined(text, more, {"metrics": said.metrics, "tags": said.tags})
        parse_version_facts(text)
    except ConfigError as error:
        raise CommandFailed(*(place + problem for problem in error.problems), code=ExitCode.USAGE) from error
    return text


def _joined(text: str, more: Mapping[str, str], tables: Mapping[str, Mapping[str, str]]) -> str:
    """The file's facts with the flags' in it: as JSON, which is YAML, with every value as it was written."""
    document = read_yaml(text, longest_bytes=LONGEST_FACTS_BYTES) or {}
    if not isinstance(document, dict):
        raise ConfigError(["expected a mapping of keys to values"])
    document = {**document, **more}
    for key, values in tables.items():
        if values:
            there = document.get(key) or {}
            document[key] = {**there, **values} if isinstance(there, dict) else values
    return json.dumps(document, ensure_ascii=False)


def _data_hash(text: str) -> str:
    if not text.endswith(_DVC):
        return text
    try:
        return training_data_hash_of(Path(text))
    except ConfigError as error:
        problems = (f"--training-data-hash: {problem}" for problem in error.problems)
        raise CommandFailed(*problems, code=ExitCode.USAGE) from error


def _read(flag: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{flag}: cannot read {str(file)!r}: {error.strerror}", code=ExitCode.USAGE) from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{flag}: {str(file)!r} is no UTF-8 text", code=ExitCode.USAGE) from error
