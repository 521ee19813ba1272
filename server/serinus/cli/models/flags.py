"""What several commands of `serinus models` take, and how NAME@SELECTOR is read."""

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import typer

from serinus.cli.output import CommandFailed, ExitCode

_WHICH = "NAME or NAME@VERSION; a version is 1.2.0, its number, an alias, latest, or a range such as ^1.2."


class Chosen(NamedTuple):
    """What NAME@SELECTOR means: a model, and "" or which of its versions."""

    model: str
    selector: str


def _chosen(text: str) -> Chosen:
    name, at, selector = text.partition("@")
    if not name or (at and not selector):
        raise CommandFailed(f"expected NAME or NAME@VERSION, got {text[:128]!r}", code=ExitCode.USAGE)
    return Chosen(name, selector)


def _exactly_chosen(text: str) -> Chosen:
    chosen = _chosen(text)
    if not chosen.selector:
        raise CommandFailed(f"expected NAME@VERSION, got {text[:128]!r}: say which version", code=ExitCode.USAGE)
    return chosen


ChosenArgument = Annotated[Chosen, typer.Argument(metavar="NAME[@VERSION]", parser=_chosen, help=_WHICH)]
ExactArgument = Annotated[Chosen, typer.Argument(metavar="NAME@VERSION", parser=_exactly_chosen, help=_WHICH)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]
RevisionOption = Annotated[
    int | None,
    typer.Option(
        "--expected-revision",
        metavar="N",
        min=0,
        help="Do it only if the model is still at this revision, as `models show` tells it.",
    ),
]
ActorOption = Annotated[
    str,
    typer.Option(
        "--actor", envvar="SERINUS_ACTOR", metavar="NAME", help="Who does this, for the audit (default: user@host)."
    ),
]


def pairs(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """Each NAME=TEXT of a flag that can be repeated.

    Raises:
        CommandFailed: one is none, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise CommandFailed(f"{flag}: expected NAME=VALUE, got {text[:128]!r}", code=ExitCode.USAGE)
        if name in found:
            raise CommandFailed(f"{flag} {name}: expected each name once", code=ExitCode.USAGE)
        found[name] = value
    return found
