"""The flag that all commands have."""

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for programs instead of text for people.")]
