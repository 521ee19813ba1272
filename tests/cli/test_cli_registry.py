"""The whole way of a version on the command line, against a real server."""

import json

import numpy as np
import onnx
import pytest

from tests.cli.server_process import ServerProcess
from tests.support import models


@pytest.fixture
def running(tmp_path):
    """A server without models."""
    with ServerProcess([], tmp_path) as process:
        yield process


def test_from_a_file_to_a_served_version_and_back(serinus, running, tmp_path):
    """Registered, served, found, swapped, taken away; and the audit is whole."""

    def ask(*arguments):
        ended = serinus(*arguments, "--server", running.target, "--json")
        assert (ended.code, ended.err) == (0, "")
        return json.loads(ended.out)

    (tmp_path / "one.onnx").write_bytes(models.tabular())
    model = onnx.load_model_from_string(models.tabular())
    onnx.save(model, tmp_path / "two.onnx", save_as_external_data=True, location="two.bin", size_threshold=0)
    flags = ("--metric", "accuracy=0.93", "--tag", "team=vision", "--framework", "pytorch 2.9")
    first = ask("models", "register", "tab", tmp_path / "one.onnx", "--version", "1.0.0", *flags)
    assert (first["created"], first["aliases"], first["metrics"]) == (True, ["stable"], {"accuracy": 0.93})
    second = ask("models", "register", "tab", tmp_path / "two.onnx", "--version", "1.0.1", "--alias", "canary")
    assert [file["path"] for file in second["files"]] == ["two.bin", "two.onnx"]
    assert not ask("models", "register", "tab", tmp_path / "two.onnx", "--version", "1.0.1")["created"]
    again = ("models", "register", "tab", tmp_path / "two.onnx", "--version", "1.0.1", "--alias", "prod")
    ended = serinus(*again, "--server", running.target)
    assert (ended.code, ended.err) == (
        1,
        (
            "error: tab@1.0.1 was registered before, and prod does not name it: "
            "'serinus models alias tab prod 1.0.1' lets it\n"
        ),
    )
    ended = serinus("models", "list", "nobody", "--server", running.target)
    assert (ended.code, ended.err) == (
        1,
        "error: no model 'nobody' is there; 'serinus models list' shows those that are\n",
    )
    ask("models", "load", "tab@canary")
    listed = ask("models", "list", "tab", "--metric", "accuracy>=0.9", "--tag", "team=vision", "--framework", "PyTorch")
    assert [(row["version"], row["state"]) for row in listed] == [("1.0.0", "READY")]
    assert [row["version"] for row in ask("models", "list")] == ["1.0.1", "1.0.0"]
    (tmp_path / "x.json").write_text(json.dumps(np.ones((1, 8)).tolist()))
    for version in ("stable", "canary"):
        ask("predict", "tab", "--version", version, "--input", f"x=@{tmp_path / 'x.json'}")
    revision = ask("models", "show", "tab")["revision"]
    assert ask("models", "alias", "tab", "stable", "1.0.1", "--expected-revision", revision)["revision"] == revision + 1
    loser = serinus(
        *("models", "alias", "tab", "stable", "1.0.0", "--expected-revision", revision, "--server", running.target)
    )
    assert (loser.code, f"at revision {revision + 1}" in loser.err) == (1, True)
    assert "accuracy" in ask("models", "card", "tab@1.0.0")["markdown"]
    files = ask("models", "download", "tab@stable", "--to", tmp_path / "fetched")["files"]
    assert sorted(files) == ["two.bin", "two.onnx"]
    assert (tmp_path / "fetched/two.bin").read_bytes() == (tmp_path / "two.bin").read_bytes()
    ask("models", "archive", "tab@1.0.0")
    assert ask("models", "delete", "tab@1.0.0", "--yes")["deleted"]
    assert ask("audit", "verify")["entries"] == len(ask("audit", "list"))
    assert ask("models", "unload", "tab") == []
