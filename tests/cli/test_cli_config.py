"""`serinus config check`: every value and who said it, or every problem."""

import json

import pytest

from tests.support.models import tabular


@pytest.fixture
def model(tmp_path):
    """A model file."""
    file = tmp_path / "tab.onnx"
    file.write_bytes(tabular())
    return file


def test_the_defaults_are_a_configuration(serinus):
    """A line for each value, the first ones first."""
    ended = serinus("config", "check")
    lines = [line.split() for line in ended.out.splitlines()]
    assert (ended.code, ended.err) == (0, "")
    assert lines[:3] == [
        ["KEY", "VALUE", "FROM"],
        ["grpc.host_port", "127.0.0.1:8001", "default"],
        ["grpc.allow_insecure", "false", "default"],
    ]
    assert ["compute.providers", "cpu", "default"] in lines
    assert ["compute.threads", "-", "default"] in lines


def test_each_value_says_who_said_it(serinus, tmp_path, model):
    """Flag before file before default."""
    file = tmp_path / "serinus.toml"
    file.write_text('[grpc]\nhost_port = "127.0.0.1:1"\nmax_message_mib = 32\n')
    flags = ["--config", file, "--grpc", "127.0.0.1:2", "--model", f"tab={model}", "--log-level", "debug"]
    ended = serinus("config", "check", "--json", *flags)
    found = json.loads(ended.out)
    values = {value["key"]: (value["value"], value["origin"]) for value in found["values"]}
    assert (ended.code, found["ok"], found["warnings"]) == (0, True, [])
    assert values["grpc.host_port"] == ("127.0.0.1:2", "flag")
    assert values["grpc.max_message_mib"] == (32, "file")
    assert values["grpc.keepalive_time_s"] == (60.0, "default")
    assert values["models.tab.versions.1"] == (str(model), "flag")
    assert values["logs.level"] == ("debug", "flag")


PROBLEMS = [
    "--model: expected NAME=PATH.onnx, got 'x'",
    "--model y: expected an ONNX file at '/nowhere/y.onnx', got nothing there",
    "compute.threads: expected a whole number from 1 to 1024, got 0 (from a flag)",
    "logs.level: expected one of 'debug', 'info', 'warning', 'error', got 'loud' (from a flag)",
]
BAD_FLAGS = ["--model", "x", "--model", "y=/nowhere/y.onnx", "--threads", "0", "--log-level", "loud"]


@pytest.mark.parametrize("command", [["config", "check"], ["serve"]], ids=" ".join)
def test_every_problem_is_a_line(serinus, command):
    """All at once, and nothing is started."""
    ended = serinus(*command, *BAD_FLAGS)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "".join(f"error: {problem}\n" for problem in PROBLEMS)


def test_problems_in_json_are_a_list(serinus):
    """On standard output, with the exit code of a problem."""
    ended = serinus("config", "check", "--json", *BAD_FLAGS)
    assert (ended.code, ended.err) == (2, "")
    assert json.loads(ended.out) == {"ok": False, "problems": PROBLEMS}


def test_files_that_the_configuration_names_are_looked_for(serinus, tmp_path):
    """A server would find out later."""
    file = tmp_path / "serinus.toml"
    file.write_text('[models.gone]\npath = "gone.onnx"\n')
    ended = serinus("config", "check", "--config", file)
    assert ended.code == 2
    assert (
        ended.err == f"error: models.gone: expected an ONNX file at {str(tmp_path / 'gone.onnx')!r}, got none there\n"
    )


def test_a_repository_is_read(serinus, tmp_path, model):
    """What it asks for in vain is a warning, what is broken is a problem."""
    version = tmp_path / "repository" / "good" / "1"
    version.mkdir(parents=True)
    model.rename(version / "model.onnx")
    (version.parent / "config.pbtxt").write_text('name: "good"\nresponse_cache { enable: true }\n')
    ended = serinus("config", "check", "--json", "--model-repository", tmp_path / "repository")
    (warning,) = json.loads(ended.out)["warnings"]
    assert ended.code == 0
    assert "response_cache" in warning
    (tmp_path / "repository" / "bad").mkdir()
    ended = serinus("config", "check", "--model-repository", tmp_path / "repository")
    assert ended.code == 2
    assert ended.err.startswith("error: model_repository: 'bad': ")
