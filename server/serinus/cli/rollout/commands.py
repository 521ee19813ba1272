"""The tree of `serinus rollout`."""

import typer

from serinus.cli.rollout.abort import abort
from serinus.cli.rollout.disagreements import disagreements
from serinus.cli.rollout.explain import explain
from serinus.cli.rollout.history import history
from serinus.cli.rollout.list import list_rollouts
from serinus.cli.rollout.pause import pause, resume
from serinus.cli.rollout.promote import promote
from serinus.cli.rollout.report import report
from serinus.cli.rollout.simulate import simulate
from serinus.cli.rollout.start import start
from serinus.cli.rollout.status import status
from serinus.cli.rollout.watch import watch

rollout_app = typer.Typer(help="Let a version earn its calls, and watch how it does.", no_args_is_help=True)
rollout_app.command("simulate")(simulate)
rollout_app.command("start")(start)
rollout_app.command("status")(status)
rollout_app.command("watch")(watch)
rollout_app.command("list")(list_rollouts)
rollout_app.command("history")(history)
rollout_app.command("explain")(explain)
rollout_app.command("pause")(pause)
rollout_app.command("resume")(resume)
rollout_app.command("promote")(promote)
rollout_app.command("abort")(abort)
rollout_app.command("disagreements")(disagreements)
rollout_app.command("report")(report)
