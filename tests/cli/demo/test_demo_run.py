"""The demo as a stranger runs it, with fewer files."""

import json
import subprocess
import sys

import pytest

from serinus.cli.demo.package import find_model

pytestmark = pytest.mark.timeout(600)  # half a minute of two cores, which others may be busy with


def _demo(*arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "serinus", "demo", *arguments], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.fixture(scope="module")
def outcome():
    """One run for all."""
    return json.loads(_demo("--files", "40", "--recipes", "dynamic-matmul", "--json"))


def test_every_file_is_classified(outcome):
    """Each counted once, under a kind that the model knows."""
    model = find_model()
    assert outcome["files"] == 40
    assert sum(kind["count"] for kind in outcome["kinds"]) == 40
    assert {kind["label"] for kind in outcome["kinds"]} <= {*model.labels, "txt", "unknown"}


def test_the_server_counted_what_the_demo_sent(outcome):
    """Calls in the histogram, runs of every size."""
    assert sum(outcome["latency_counts"]) == 40
    assert len(outcome["latency_counts"]) == len(outcome["latency_bounds_s"]) + 1
    assert 1 <= outcome["runs"] <= 40


def test_the_quantized_version_earns_its_calls(outcome):
    """Copies of calls first, then a part of them, then all; nobody notices."""
    quantization = outcome["quantization"]
    assert outcome["registered"]["version"] == outcome["answered_by"] == "1.0.0"
    assert [result["recipe"] for result in quantization["results"]] == ["float", "dynamic-matmul"]
    assert all(result["best_batch_s"] > 0 for result in quantization["results"])
    story = outcome["rollouts"][0]
    assert (story["rollout"]["status"], story["failed"]) == ("succeeded", 0)
    assert story["rollout"]["candidates"] == [quantization["registered"]["version"]]
    assert [event["event"] for event in story["journal"]] == ["started", "prepared", *["stage"] * 3, "succeeded"]
    assert story["exposed"] >= 500


def test_the_sabotaged_version_loses_them(outcome):
    """After a few failures, which callers do not see: another version answers in its place."""
    story = outcome["rollouts"][1]
    assert (story["rollout"]["status"], story["failed"]) == ("rolled_back", 0)
    assert [event["event"] for event in story["journal"]] == ["started", "prepared", "failing", "rolled_back"]
    assert 0 < story["rescued"] <= story["exposed"] + 8  # those in flight when it was taken out count for nothing
    assert story["exposed"] < 300


def test_people_get_tables():
    """What was registered and tried, kinds, latencies, batches, a summary; no progress where nobody watches."""
    lines = _demo("--files", "10", "--recipes", "fp16", "--no-rollouts").splitlines()
    assert lines[0].startswith(f"{find_model().onnx.parent.name} of magika, served on 127.0.0.1:")
    assert lines[2].startswith("registered magika@1.0.0: ")
    assert lines[4].split()[:3] == ["RECIPE", "SIZE", "BATCH"]
    assert [line.split()[0] for line in lines[5:7]] == ["float", "fp16"]
    assert "FILES KIND SCORE EXAMPLE" in (" ".join(line.split()) for line in lines)
    assert "From arrival to answer, by the server" in (line.rstrip() for line in lines)
    assert "Files in one run of the model" in (line.rstrip() for line in lines)
    assert lines[-1].startswith("10 files, ")
