"""`serinus models import` on a registry in memory."""

import json

import pytest

from serinus.core.errors import ModelRejected
from serinus_api.v1 import registry_pb2 as pb
from tests.support import models


@pytest.fixture
def repository(tmp_path):
    """Of Triton's: a model with two versions, a folder that is none, and a file."""
    folder = tmp_path / "repository"
    for number in ("1", "2"):
        (folder / "one" / number).mkdir(parents=True)
        (folder / "one" / number / "model.onnx").write_bytes(models.tabular() + number.encode() * 0)
    (folder / "bad").mkdir()
    (folder / "README").write_text("read me")
    return folder


def test_looking_registers_nothing(tell, registry, repository):
    """And asks no server; what cannot be taken over makes it exit code 1."""
    ended = tell("models", "import", repository, "--dry-run")
    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (1, "")
    assert [line.split()[:2] + line.split()[-1:] for line in lines[1:3]] == [
        ["one", "1.0.0", "found"],
        ["one", "2.0.0", "found"],
    ]
    assert lines[3].startswith("bad is no model that can be registered: ")
    assert lines[4] == "ignored: README"
    assert registry.asked == []


def test_versions_are_registered_one_by_one(tell, registry, repository):
    """One that is refused does not keep the next one out; a second import changes nothing."""
    registry.faults = {"RegisterModel": [ModelRejected("it crashed"), None, None, None]}
    found = json.loads(tell("models", "import", repository, "--actor", "ann", "--json").out)
    assert [(each["version"], each["outcome"], each["problem"]) for each in found["versions"]] == [
        ("1.0.0", "refused", "it crashed (INVALID_MODEL)"),
        ("2.0.0", "registered", ""),
    ]
    assert (found["ignored"], list(found["rejected"])) == (["README"], ["bad"])
    assert [header.actor for header in registry.asked_for(pb.RegisterModelHeader)] == ["ann"]
    (repository / "bad").rmdir()
    again = tell("models", "import", repository, "--json")
    assert again.code == 0
    assert [each["outcome"] for each in json.loads(again.out)["versions"]] == ["registered", "was there"]


def test_the_highest_version_of_a_new_model_is_stable(tell, registry, repository):
    """As Triton would serve it; of a model that is registered somebody else has said which."""
    tell("models", "import", repository)
    assert [list(header.aliases) for header in registry.asked_for(pb.RegisterModelHeader)] == [[], ["stable"]]
    (repository / "one" / "3").mkdir()
    (repository / "one" / "3" / "model.onnx").write_bytes(models.tabular())
    tell("models", "import", repository)
    assert list(registry.asked_for(pb.RegisterModelHeader)[-1].aliases) == []


def test_a_folder_that_is_not_there_is_a_usage_error(tell, tmp_path):
    """As every flag that means nothing."""
    ended = tell("models", "import", tmp_path / "nothing")
    assert (ended.code, ended.err.startswith("error: ")) == (2, True)


def test_a_server_that_is_gone_ends_the_import(serinus, repository, closed_port):
    """With exit code 3, and not with each version refused."""
    assert serinus("models", "import", repository, "--server", closed_port).code == 3
