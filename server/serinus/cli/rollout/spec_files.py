"""The plan of a rollout as an operator gives it: a file, arguments, or both."""

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from serinus.cli.output import CommandFailed, ExitCode
from serinus.config.errors import ConfigError
from serinus.config.rollout_spec import LONGEST_SPEC_BYTES, RolloutSpec, parse_rollout_spec
from serinus.config.yaml_text import read_yaml

SpecOption = Annotated[
    Path | None, typer.Option("-f", "--file", metavar="FILE", help="The plan, YAML or JSON; - for standard input.")
]


def read_spec(file: Path | None, **given: object) -> RolloutSpec:
    """The plan in `file`, with what was `given` beside it in the place of what stands there.

    Args:
        file: YAML or JSON, "-" for standard input; None for the default plan.
        given: Values of the spec by key; empty ones and False say nothing.

    Raises:
        CommandFailed: the file cannot be read, or what both say together is no plan.
    """
    text = "" if file is None else _text(file)
    said = {key: value for key, value in given.items() if value}
    try:
        if said:
            text = yaml.safe_dump(_table(text) | said, allow_unicode=True)
        return parse_rollout_spec(text)
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
