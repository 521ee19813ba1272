"""`serinus traffic show` and `reset-breaker`: how a model's calls are shared out now."""

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption, NameArgument
from serinus.cli.target import Server, connected, server_command
from serinus.cli.traffic.documents import show_traffic


@server_command
def show(*, name: NameArgument, server: Server, as_json: JsonOption = False) -> None:
    """Show who answers a model's calls: split, rules, fallback, and the circuit breakers of this server."""
    with connected(server) as client:
        traffic = client.admin.get_split(name)
    show_traffic(traffic, as_json=as_json)


@server_command
def reset_breaker(*, name: NameArgument, actor: ActorOption = "", server: Server, as_json: JsonOption = False) -> None:
    """Let every server forget which versions of a model have failed too often."""
    with connected(server) as client:
        traffic = client.admin.reset_breaker(name, actor=actor)
    show_traffic(traffic, as_json=as_json)
