"""`serinus rollout report`: how a version did, as somebody outside has measured it."""

from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.output import cell, console, print_json
from serinus.cli.target import Server, connected, server_command


@server_command
def report(
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version that answered, such as 1.2.0.")],
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="A metric of the rollout's guardrails.")],
    values: Annotated[
        list[float], typer.Argument(metavar="VALUE...", help="What was measured; behind -- where one is negative.")
    ],
    report_id: Annotated[
        str, typer.Option("--report-id", metavar="ID", help="Tells a report that is sent again from a new one.")
    ] = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Report values of a business or quality metric of a version to the model's rollout."""
    with connected(server) as client:
        is_counted = client.admin.report_metric(model, version, metric, values, report_id=report_id)
    if as_json:
        print_json({"model": model, "version": version, "metric": metric, "counted": is_counted})
    elif is_counted:
        console().print(cell(f"{model}@{version}: counted {len(values)} of {metric}"))
    else:
        console().print(cell(f"{model}@{version}: this report was counted before", "yellow"))
