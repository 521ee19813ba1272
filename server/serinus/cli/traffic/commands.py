"""The tree of `serinus traffic`."""

import typer

from serinus.cli.traffic.fallback import fallback
from serinus.cli.traffic.show import reset_breaker, show
from serinus.cli.traffic.split import split

traffic_app = typer.Typer(help="Say who answers a model's calls, and who when that one cannot.", no_args_is_help=True)
traffic_app.command("show")(show)
traffic_app.command("split")(split)
traffic_app.command("fallback")(fallback)
traffic_app.command("reset-breaker")(reset_breaker)
