"""`serinus models list` and `serinus health` against a real server."""

import json

from serinus.cli.health import Health, best_states
from serinus_api.v1 import admin_pb2 as pb

NAMES = ["sick", "spare", "tab", "text", "two"]
SERVICES = [
    "serinus.v1.PredictService",
    "serinus.v1.RegistryService",
    "serinus.v1.AdminService",
    "inference.GRPCInferenceService",
]


def test_models_are_listed_with_their_state(ask):
    """One line for each version."""
    ended = ask("models", "list")
    lines = [line.split() for line in ended.out.splitlines()]
    assert (ended.code, ended.err) == (0, "")
    assert lines[0] == ["MODEL", "VERSION", "NUMBER", "STATE", "CALLS", "ALIASES", "REASON"]
    assert [line[:4] for line in lines[1:]] == [[name, "1.0.0", "1", "READY"] for name in NAMES]


def test_models_in_json_are_a_list(ask):
    """Calls depend on the other tests, so they are only counted."""
    ended = ask("models", "list", "--json")
    found = json.loads(ended.out)
    calls = [model.pop("calls") for model in found]
    assert all(isinstance(count, int) for count in calls)
    assert found == [
        {
            "model": name,
            "version": "1.0.0",
            "version_number": 1,
            "state": "READY",
            "reason": "",
            "registered": None,
        }
        for name in NAMES
    ]


def test_a_healthy_server_is_healthy_in_all_its_parts(ask, server):
    """Overall, each service, each model."""
    ended = ask("health", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == {
        "server": server.target,
        "healthy": True,
        "status": "SERVING",
        "services": dict.fromkeys(SERVICES, "SERVING"),
        "models": {name: {"state": "READY", "reason": ""} for name in NAMES},
    }


def test_health_for_people_ends_with_the_verdict(ask, server):
    """A line for each part, then the word."""
    ended = ask("health")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert lines[1].split() == ["server", server.target, "SERVING"]
    assert lines[-2].split() == ["model", "two", "READY"]
    assert lines[-1] == "healthy"


def test_a_server_that_is_not_there_is_exit_code_3(serinus, closed_port):
    """For every command that looks at one."""
    for command in (["health"], ["models", "list"], ["top", "--once"]):
        ended = serinus(*command, "--server", closed_port)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.startswith(f"error: no server answers at {closed_port}: ")


def _version(model: str, number: int, state: int, reason: str = "") -> pb.ModelStatus:
    return pb.ModelStatus(model=model, version=f"{number}.0.0", version_number=number, state=state, reason=reason)


def _health(*versions: pb.ModelStatus, overall: str = "SERVING", service: str = "SERVING") -> Health:
    return Health("here:1", overall, {"s": service}, best_states(versions))


def test_a_model_is_as_well_as_its_best_version():
    """A broken new version beside one that serves is not an outage."""
    health = _health(_version("m", 2, pb.MODEL_STATE_UNAVAILABLE, "damaged"), _version("m", 1, pb.MODEL_STATE_READY))
    assert health.models == {"m": ("READY", "")}
    assert health.is_healthy


def test_a_model_without_any_ready_version_is_not_healthy():
    """The newest version's reason is the one to tell."""
    health = _health(
        _version("m", 2, pb.MODEL_STATE_UNAVAILABLE, "damaged"), _version("m", 1, pb.MODEL_STATE_UNAVAILABLE, "old")
    )
    assert health.models == {"m": ("UNAVAILABLE", "damaged")}
    assert not health.is_healthy


def test_a_model_that_was_unloaded_on_purpose_is_no_illness():
    """Somebody asked for it, or nobody asked for the version yet."""
    assert _health(_version("m", 1, pb.MODEL_STATE_UNAVAILABLE, "unloaded")).is_healthy
    assert _health(_version("m", 1, pb.MODEL_STATE_UNAVAILABLE, "registered, not loaded")).is_healthy


def test_any_part_that_does_not_serve_is_an_illness():
    """A draining server says NOT_SERVING."""
    assert not _health(overall="NOT_SERVING").is_healthy
    assert not _health(service="SERVICE_UNKNOWN").is_healthy
