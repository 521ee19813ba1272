"""`serinus models ...` on a registry in memory."""

import json

import pytest

from serinus.cli.models.list import Row, metric_bounds
from serinus.cli.output import CommandFailed
from serinus.core.errors import StoreUnavailable
from serinus_api.v1 import admin_pb2, predict_pb2
from serinus_api.v1 import registry_pb2 as pb


@pytest.fixture
def two_versions(registry):
    """Of model m; 1.1.0 is canary and served, 1.0.0 is stable, archived and not."""
    takes = predict_pb2.TensorInfo(name="x", dtype=predict_pb2.DATA_TYPE_FP32, shape=[-1, 2], batch_axis=0)
    registry.add("m", "1.0.0", state=pb.VERSION_STATE_ARCHIVED)
    registry.add(
        "m",
        "1.1.0",
        {"model.onnx": b"m" * 2048, "deep/w.bin": b"w"},
        change=pb.CHANGE_LEVEL_MINOR,
        forced=True,
        framework="pytorch 2.9",
        metrics={"accuracy": 0.93},
        tags={"team": "vision\x1b[31m"},
        inputs=[takes],
        notes=["It mixes rows."],
        goldens=[pb.GoldenResult(name="one.npz", max_difference=1e-6)],
        facts_yaml="framework: pytorch 2.9\n",
        created_by="ann@here",
    )
    registry.models["m"].aliases["canary"] = "1.1.0"
    registry.models["m"].versions[0].aliases.append("canary")
    for model, version, number in (("m", "1.1.0", 2), ("plain", "1.0.0", 1)):
        registry.status.models.add(
            model=model, version=version, version_number=number, state=admin_pb2.MODEL_STATE_READY, answered=7
        )
    return registry


@pytest.mark.usefixtures("two_versions")
def test_the_list_joins_what_is_registered_and_what_is_served(tell):
    """An archived version is shown as long as an alias names it."""
    ended = tell("models", "list")
    assert (ended.code, ended.err) == (0, "")
    assert [line.split() for line in ended.out.splitlines()] == [
        ["MODEL", "VERSION", "NUMBER", "STATE", "CALLS", "ALIASES", "REASON"],
        ["m", "1.1.0", "2", "READY", "7", "canary"],
        ["m", "1.0.0", "1", "NOT_LOADED", "0", "stable", "(archived)"],
        ["plain", "1.0.0", "1", "READY", "7", "(not", "registered)"],
    ]


@pytest.mark.usefixtures("two_versions")
def test_the_list_in_json(tell):
    """Of one model."""
    found = json.loads(tell("models", "list", "m", "--json").out)
    assert [row["version"] for row in found] == ["1.1.0", "1.0.0"]
    assert found[0] == {
        "model": "m",
        "version": "1.1.0",
        "version_number": 2,
        "state": "READY",
        "reason": "",
        "calls": 7,
        "registered": {
            "state": "ACTIVE",
            "placement": "FOLLOW",
            "aliases": ["canary"],
            "framework": "pytorch 2.9",
            "metrics": {"accuracy": 0.93},
            "tags": {"team": "vision\x1b[31m"},
        },
    }


def test_filters_are_the_servers(tell, two_versions):
    """And need a model's name."""
    flags = ("--range", "^1.0", "--tag", "team=vision", "--framework", "py", "--metric", "accuracy>=0.9", "--archived")
    assert [row["version"] for row in json.loads(tell("models", "list", "m", *flags, "--json").out)] == [
        "1.1.0",
        "1.0.0",
    ]
    (request,) = two_versions.asked_for(pb.ListVersionsRequest)
    assert (request.range, dict(request.tags), request.framework) == ("^1.0", {"team": "vision"}, "py")
    assert list(request.metrics) == [pb.MetricBound(name="accuracy", at_least=0.9)]
    assert request.include_archived
    ended = tell("models", "list", *flags)
    assert (ended.code, ended.err) == (2, "error: filters choose among the versions of one model: give its NAME\n")


def test_bounds_of_a_metric_are_joined():
    """Both ends of one metric are one bound."""
    assert metric_bounds(["a>=0.5", "a <= 1e-1", "b/c<=2"]) == {"a": (0.5, 0.1), "b/c": (None, 2.0)}
    for text in ("a=1", "a>1", ">=1", "a>=x", "a>=1.2.3"):
        with pytest.raises(CommandFailed):
            metric_bounds([text])


def test_a_registry_that_is_gone_does_not_hide_what_serves(tell, two_versions):
    """The failure is told behind the list."""
    two_versions.faults = {"ListModels": [StoreUnavailable("no database", retry_after_s=60.0)]}
    ended = tell("models", "list", "--json")
    assert (ended.code, ended.err) == (1, "error: no database (STORE_UNAVAILABLE)\n")
    assert [row["model"] for row in json.loads(ended.out)] == ["m", "plain"]


@pytest.mark.usefixtures("two_versions")
def test_a_model_is_shown_with_its_versions(tell):
    """Revision and aliases first: they are what a writer needs."""
    lines = tell("models", "show", "m").out.splitlines()
    assert lines[0] == "m  revision 2  since 2023-11-14T22:13:20Z"
    assert lines[1] == "aliases: canary = 1.1.0, stable = 1.0.0"
    assert lines[3].split() == [
        *("1.1.0", "2", "ACTIVE", "FOLLOW", "minor", "(forced)", "2.00", "KiB", "2023-11-14T22:13:20Z", "ann@here")
    ]
    found = json.loads(tell("models", "show", "m", "--json").out)
    assert (found["name"], found["revision"], found["aliases"]) == ("m", 2, {"canary": "1.1.0", "stable": "1.0.0"})


@pytest.mark.usefixtures("two_versions")
def test_a_version_is_shown_in_full_and_steers_no_terminal(tell):
    """Everything that somebody said or the server found."""
    out = tell("models", "show", "m@canary").out
    for text in (
        "m@1.1.0",
        "x FP32 [-1, 2]",
        "accuracy 0.93",
        r"team=vision\x1b[31m",
        "It mixes rows.",
        "one.npz  largest difference 1e-06",
        "framework: pytorch 2.9",
    ):
        assert text in out
    assert "\x1b" not in out
    found = json.loads(tell("models", "show", "m@1.1", "--json").out)
    assert found["files"][1]["size_bytes"] == 1
    assert found["inputs"] == [{"name": "x", "dtype": "FP32", "shape": [-1, 2], "batch_axis": 0, "optional": False}]


@pytest.mark.parametrize("text", ["", "@1.0.0", "m@"])
def test_a_name_that_names_nothing_is_a_usage_error(tell, text):
    """Said by the one place that reads NAME@VERSION."""
    ended = tell("models", "show", text)
    assert (ended.code, ended.err) == (2, f"error: expected NAME or NAME@VERSION, got {text!r}\n")


def test_registering(tell, registry, tmp_path):
    """The file, what the flags say, and what came of it."""
    (tmp_path / "net.onnx").write_bytes(b"m")
    (tmp_path / "one.npz").write_bytes(b"g")
    (tmp_path / "facts.yaml").write_text("author: ann\ntags: {team: vision}\n")
    ended = tell(
        *("models", "register", "m", tmp_path / "net.onnx", "--version", "1.0.0", "--facts", tmp_path / "facts.yaml"),
        *("--metric", "accuracy=0.93", "--golden", tmp_path / "one.npz", "--alias", "canary", "--force-version"),
        *("--expected-revision", "0", "--actor", "bob"),
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "m@1.0.0 registered as number 1 (first change, forced)",
        "aliases: canary",
        "golden request goldens/one.npz: largest difference 0",
    ]
    (header,) = registry.asked_for(pb.RegisterModelHeader)
    facts = {"author": "ann", "tags": {"team": "vision"}, "metrics": {"accuracy": "0.93"}}
    assert json.loads(header.facts_yaml) == facts
    assert (header.actor, header.expected_revision, header.force_version) == ("bob", 0, True)
    again = json.loads(
        tell("models", "register", "m", tmp_path / "net.onnx", "--version", "1.0.0",
             "--golden", tmp_path / "one.npz", "--json").out
    )  # fmt: skip
    assert (again["created"], again["version"], again["model_revision"]) == (False, "1.0.0", 1)


def test_a_file_that_is_not_there_is_said(tell, tmp_path):
    """With its name."""
    ended = tell("models", "register", "m", tmp_path / "no.onnx", "--version", "1.0.0")
    assert (ended.code, ended.out) == (1, "")
    assert "there is no file" in ended.err


@pytest.mark.usefixtures("two_versions")
def test_aliases_move_and_go(tell):
    """With the revision to go on from; the loser of a race is told."""
    assert tell("models", "alias", "m", "stable", "canary").out.splitlines() == [
        "stable names m@1.1.0 now",
        "m is at revision 3",
    ]
    assert json.loads(tell("models", "alias", "m", "canary", "--remove", "--json").out)["aliases"] == {
        "stable": "1.1.0"
    }
    ended = tell("models", "alias", "m", "canary", "1.0.0", "--expected-revision", "3")
    assert (ended.code, ended.err) == (1, "error: model 'm' is at revision 4, expected 3 (REVISION_MISMATCH)\n")
    assert tell("models", "alias", "m", "canary").code == 2
    assert tell("models", "alias", "m", "canary", "1.0.0", "--remove").code == 2


@pytest.mark.usefixtures("two_versions")
def test_tags_change(tell):
    """Those that are there afterwards are shown."""
    assert tell("models", "tag", "m@canary", "a=b", "--remove", "team").out == "m@1.1.0: a=b\n"
    assert json.loads(tell("models", "tag", "m@canary", "--remove", "a", "--json").out)["tags"] == {}
    assert tell("models", "tag", "m@canary").code == 2
    assert tell("models", "tag", "m@canary", "a").err == "error: tags: expected NAME=VALUE, got 'a'\n"


@pytest.mark.usefixtures("two_versions")
def test_a_version_is_archived_and_brought_back(tell):
    """Only by a selector: nobody archives by a slip."""
    assert tell("models", "archive", "m@1.1.0").out == "m@1.1.0 is archived now\n"
    assert tell("models", "archive", "m@1.1.0", "--restore").out == "m@1.1.0 is active now\n"
    assert tell("models", "archive", "m").err == "error: expected NAME@VERSION, got 'm': say which version\n"


@pytest.mark.usefixtures("two_versions")
def test_a_version_is_deleted_on_somebodys_word(tell):
    """Where nobody can be asked, by --yes; and not while it is used."""
    ended = tell("models", "delete", "m@1.1.0")
    assert (ended.code, ended.err) == (2, "error: nobody is there to ask: delete m@1.1.0 with --yes\n")
    ended = tell("models", "delete", "m@1.1.0", "--yes")
    assert (ended.code, ended.err) == (1, "error: m@1.1.0 is named by ['canary'] (IN_USE)\n")
    tell("models", "alias", "m", "canary", "--remove")
    assert tell("models", "delete", "m@1.1.0", "--yes").out == "m@1.1.0 is deleted\n"


@pytest.mark.usefixtures("two_versions")
def test_versions_are_loaded_and_unloaded(tell):
    """What serves since is shown."""
    assert tell("models", "load", "m@canary").out.split()[-4:] == ["m", "1.1.0", "2", "READY"]
    assert [row["version"] for row in json.loads(tell("models", "unload", "m@canary", "--json").out)] == ["1.0.0"]
    assert tell("models", "unload", "m").out == "no version of m is served\n"


def test_the_card_is_a_page(tell, two_versions, tmp_path):
    """Or the markdown as it is; notes are put on it."""
    assert tell("models", "card", "m@canary").out.split() == ["m", "1.1.0", "A", "card."]
    assert tell("models", "card", "m@canary", "--raw").out == "# m 1.1.0\n\nA *card*.\n"
    assert json.loads(tell("models", "card", "m@canary", "--json").out)["version"] == "1.1.0"
    (tmp_path / "notes.md").write_text("Beware.")
    assert tell("models", "card", "m@canary", "--notes", tmp_path / "notes.md").out.startswith("the card of m@1.1.0")
    assert two_versions.asked_for(pb.SetCardNotesRequest)[0].markdown == "Beware."
    assert tell("models", "card", "m", "--notes", tmp_path / "none.md").code == 2


@pytest.mark.usefixtures("two_versions")
def test_files_are_fetched(tell, tmp_path):
    """All of a version into a folder; one file under a name."""
    ended = tell("models", "download", "m@canary", "--to", tmp_path / "there")
    assert (ended.code, ended.err) == (0, "")
    assert (tmp_path / "there/deep/w.bin").read_bytes() == b"w"
    assert (tmp_path / "there/model.onnx").read_bytes() == b"m" * 2048
    found = json.loads(tell("models", "download", "m@1.0.0", "--to", tmp_path / "one.onnx", "--json").out)
    assert found["files"] == {"model.onnx": str(tmp_path / "one.onnx")}
    (tmp_path / "file").write_text("")
    ended = tell("models", "download", "m", "--to", tmp_path / "file")
    assert (ended.code, ended.err.startswith("error: cannot write ")) == (1, True)


def test_a_server_that_names_files_elsewhere_is_not_believed(tell, registry, tmp_path):
    """Nothing is written outside of the folder."""
    registry.add("m", "1.0.0", {"../evil": b"e", "model.onnx": b"m"})
    ended = tell("models", "download", "m", "--to", tmp_path / "there")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: the server names a file that cannot be written: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "aliases", "served", "is_put_away"),
    [
        (pb.VERSION_STATE_ARCHIVED, [], admin_pb2.MODEL_STATE_UNAVAILABLE, True),
        (pb.VERSION_STATE_ARCHIVED, [], None, True),
        (pb.VERSION_STATE_ARCHIVED, [], admin_pb2.MODEL_STATE_READY, False),
        (pb.VERSION_STATE_ARCHIVED, ["stable"], None, False),
        (pb.VERSION_STATE_ACTIVE, [], None, False),
    ],
)
def test_what_is_archived_is_listed_while_anything_uses_it(state, aliases, served, is_put_away):
    """An alias, or the server."""
    version = pb.ModelVersion(model="m", version="1.0.0", state=state, aliases=aliases)
    status = None if served is None else admin_pb2.ModelStatus(model="m", version="1.0.0", state=served)
    assert Row(version, status).is_put_away is is_put_away
