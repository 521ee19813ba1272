"""The tree of commands."""

from serinus.cli.audit.commands import audit_app
from serinus.cli.bench.command import bench
from serinus.cli.config import config_app
from serinus.cli.demo.command import demo
from serinus.cli.drain import drain
from serinus.cli.health import health
from serinus.cli.models.commands import models_app
from serinus.cli.predict import predict
from serinus.cli.rollout.commands import rollout_app
from serinus.cli.root import root_app
from serinus.cli.serve import serve
from serinus.cli.top import top
from serinus.cli.traffic.commands import traffic_app

app = root_app()
app.command("demo")(demo)
app.command("serve")(serve)
app.command("predict")(predict)
app.add_typer(models_app, name="models")
app.add_typer(rollout_app, name="rollout")
app.add_typer(traffic_app, name="traffic")
app.command("top")(top)
app.command("bench")(bench)
app.command("health")(health)
app.command("drain")(drain)
app.add_typer(audit_app, name="audit")
app.add_typer(config_app, name="config")
