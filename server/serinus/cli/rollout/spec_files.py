"""The plan of a rollout as an operator gives it: a file, arguments, or both."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
import yaml

from serinus.cli.output import CommandFailed, ExitCode
from serinus.config.errors import ConfigError
from serinus.config.rollout_spec import LONGEST_SPEC_BYTES, RolloutSpec, parse_rollout_spec
from serinus.config.yaml_text import read_yaml

_NOTHING: Mapping[str, object] = {}

SpecOption = Annotated[
    Path | None, typer.Option("-f", "--file", metavar="FILE", help="The plan, YAML or JSON; - for standard input.")
]


def read_spec(
    file: Path | None, *, given: Mapping[str, object] = _NOTHING, missing: Mapping[str, object] = _NOTHING
) -> RolloutSpec:
    """The plan in `file`, with what was said beside it.

    Args:
        file: YAML or JSON, "-" for standard input; None for the default plan.
        given: Counts more than what stands there, by key; empty values and False say nothing.
        missing: Counts where nothing stands there, by key; but no candidate for an A/B test, which names its own.

    Raises:
        CommandFailed: the file cannot be read, or what both say together is no plan.
    """
    text = "" if file is None else _text(file)
    said = {key: value for key, value in given.items() if value}
    try:
        written = _table(text)
        absent = {key: value for key, value in missing.items() if key != "candidate" or not _is_test(written)}
        table = {**absent, **written, **said}
        return parse_rollout_spec(text if table == written else yaml.safe_dump(table, allow_unicode=True))
    except ConfigError as error:
        where = "" if file is None else "standard input: " if str(file) == "-" else f"{file}: "
        raise CommandFailed(*(f"{where}{problem}" for problem in error.problems), code=ExitCode.USAGE) from error


def _table(text: str) -> dict[str, object]:
    """What the text says, unchecked; {} for what is no table, which is for the check to say."""
    if not text:
        return {}
    document = read_yaml(text, longest_bytes=LONGEST_SPEC_BYTES)
    if not isinstance(document, dict):
        raise ConfigError(["expected keys with values, such as 'model' and 'candidate'"])
    return document


def _is_test(table: Mapping[str, object]) -> bool:
    """Whether the text speaks of an A/B test, as far as an unchecked one can."""
    stages = table.get("stages")
    return isinstance(stages, list) and any(isinstance(stage, dict) and "ab" in stage for stage in stages)


def _text(file: Path) -> str:
    try:
        raw = sys.stdin.buffer.read(LONGEST_SPEC_BYTES + 1) if str(file) == "-" else _first_bytes(file)
        return raw.decode()
    except OSError as error:
        raise CommandFailed(f"--file: cannot read {str(file)!r}: {error.strerror}", code=ExitCode.USAGE) from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"--file: {str(file)!r} is no UTF-8 text", code=ExitCode.USAGE) from error


def _first_bytes(file: Path) -> bytes:
    # One byte more than may be there, so that a file that is too long is told from one that fits.
    with file.open("rb") as stream:
        return stream.read(LONGEST_SPEC_BYTES + 1)


def spec_with_defaults(spec: RolloutSpec) -> dict[str, object]:
    """The plan with everything that nobody said."""
    return spec.model_dump(mode="json", exclude_none=True)
