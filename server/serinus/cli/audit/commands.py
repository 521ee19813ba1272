"""The tree of `serinus audit`."""

import typer

from serinus.cli.audit.list import list_audit
from serinus.cli.audit.verify import verify

audit_app = typer.Typer(help="Read every write to the registry, and check that none was changed.", no_args_is_help=True)
audit_app.command("list")(list_audit)
audit_app.command("verify")(verify)
