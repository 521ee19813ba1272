"""The tree of `serinus models`."""

import typer

from serinus.cli.models.alias import alias
from serinus.cli.models.archive import archive
from serinus.cli.models.card import card
from serinus.cli.models.costs import costs
from serinus.cli.models.delete import delete
from serinus.cli.models.download import download
from serinus.cli.models.importing import import_models
from serinus.cli.models.list import list_models
from serinus.cli.models.load import load, unload
from serinus.cli.models.quantize import quantize
from serinus.cli.models.register import register
from serinus.cli.models.show import show
from serinus.cli.models.tag import tag

models_app = typer.Typer(help="Register models, name their versions, and say what is served.", no_args_is_help=True)
models_app.command("register")(register)
models_app.command("list")(list_models)
models_app.command("show")(show)
models_app.command("costs")(costs)
models_app.command("load")(load)
models_app.command("unload")(unload)
models_app.command("alias")(alias)
models_app.command("tag")(tag)
models_app.command("archive")(archive)
models_app.command("delete")(delete)
models_app.command("card")(card)
models_app.command("import")(import_models)
models_app.command("quantize")(quantize)
models_app.command("download")(download)
