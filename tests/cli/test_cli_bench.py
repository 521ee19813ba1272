"""`serinus bench` against a real server."""

import json

import pytest

SHORT = ("--duration", "0.2", "--warmup", "0.1", "--repeats", "2", "--json")


@pytest.mark.parametrize("transport", ["frames", "unary", "oip", "oip-stream"])
def test_each_way_to_a_server_is_measured(ask, server, transport):
    """Inputs are made up from what the model says; the server's processor time is read from its process."""
    ended = ask("bench", "tab", "--transport", transport, "--callers=4", "--pid", server.ready["pid"], *SHORT)
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found["outcomes"] == {"OK": found["calls"]}
    assert found["calls"] > 20
    assert len(found["throughput_per_s"]["repeats"]) == 2
    assert found["latency_s"]["p50"]["low"] > 0
    assert found["generator_cpu_us"]["median"] > 0
    assert found["server_memory_bytes"]["median"] > 1 << 20
    assert (found["callers"], found["rate_per_s"], found["void"]) == (4, None, "")


def test_a_rate_is_offered_however_long_answers_take(ask):
    """What the generator itself was late is in the report, and more than allowed ends with 1."""
    ended = ask("bench", "tab", "--rate=100", "--arrivals=constant", "--deadline-ms=5000", *SHORT)
    found = json.loads(ended.out)
    assert ended.code == (1 if found["void"] else 0)
    assert found["offered_per_s"]["median"] == pytest.approx(100, rel=0.1)
    assert (found["arrivals"], found["deadline_s"], found["callers"]) == ("constant", 5.0, None)
    assert found["lateness_s"]["median"] >= 0


def test_given_inputs_are_sent(ask):
    """Their rows are those of a call."""
    rows = [[0.5] * 8] * 3
    found = json.loads(ask("bench", "tab@1.0.0", f"--input=x={json.dumps(rows)}", "--callers=1", *SHORT).out)
    assert (found["rows"], found["model"]) == (3, "tab@1.0.0")
    assert set(found["batch_rows"]) == {"3"}


def test_a_person_gets_a_table(ask, tmp_path):
    """And a picture, if asked."""
    file = tmp_path / "run.png"
    ended = ask("bench", "tab", "--callers=2", *SHORT[:-1], "--plot", file)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["MEDIAN", "LOWEST", "HIGHEST"]
    assert {line.split("  ")[0] for line in lines} >= {"calls answered a second", "latency p99", "generator CPU a call"}
    assert "calls of 1 row: OK" in lines[-2]
    assert file.read_bytes().startswith(b"\x89PNG")


def test_calls_that_all_fail_are_an_error(ask):
    """With the words for how they ended."""
    ended = ask("bench", "tab", "--callers=1", "--input=x=[[1, 2]]", "--transport=oip", *SHORT)
    assert ended.code == 1
    assert ended.err == "error: no call was answered: INVALID_ARGUMENT WRONG_SHAPE\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "expected a model: NAME or NAME@VERSION"),
        (["tab", "--rate=5", "--callers=5"], "expected either --callers or --rate"),
        (["tab", "--arrivals=ramp"], "--arrivals ramp: expected a --rate with it"),
        (["tab", "--rate=1e9"], "--rate and --duration: rate and duration: expected at most 2000000 calls"),
        (["tab", "--plot=run.txt"], "--plot: expected a .png file in a folder that exists, got run.txt"),
        (["tab", "--plot=/nowhere/run.png"], "--plot: expected a .png file in a folder that exists"),
        (["tab", "--input=z=1"], "the model takes x, got 'z'"),
        (["tab", '--input=x=[["a"]]'], "input 'x': expected FP32, got a list of BYTES"),
    ],
)
def test_flags_that_cannot_be_meant_are_usage_errors(ask, arguments, sentence):
    """Before anything is sent."""
    ended = ask("bench", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {sentence}")


@pytest.mark.parametrize("transport", ["frames", "oip"])
def test_a_model_that_is_not_there_is_said(ask, transport):
    """In either protocol."""
    ended = ask("bench", "nope", "--transport", transport)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: model 'nope': expected one that this server has")


@pytest.mark.parametrize("transport", ["frames", "oip"])
def test_nobody_there_is_exit_code_3(serinus, closed_port, transport):
    """As with every command."""
    ended = serinus("bench", "tab", "--transport", transport, "--server", closed_port)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith(f"error: no server answers at {closed_port}")


def test_a_process_that_is_not_there_has_no_use(ask):
    """The figure would be nothing, not zero."""
    ended = ask("bench", "tab", "--pid=4194304", *SHORT)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error: there is no process 4194304: is the server gone, or --pid wrong?\n"
