"""`serinus predict` against a real server."""

import json

import numpy as np
import pytest

from serinus.cli.predict import document, show, shown
from serinus_client import Prediction
from tests.support.models import tabular_weights

ROW = [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_prediction_from_json_on_the_command_line_is_a_table(ask):
    """The last line says who answered and how long it took."""
    ended = ask("predict", "tab", "--input", f"x=[{ROW}]")
    heading, values, who = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert heading.split() == ["OUTPUT", "DTYPE", "SHAPE", "VALUES"]
    assert values.rstrip() == "y       float32  [1, 4]  [[12. , 17.5, 23. , 28.5]]"
    assert who.startswith("tab 1.0.0: queue ")
    assert who.rstrip().endswith("batch of 1")


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({}, "m 1.1.0: queue "),
        ({"route": "weight"}, "m 1.1.0 (by weight): queue "),
        ({"route": "pinned"}, "m 1.1.0 (pinned): queue "),
        (
            {"route": "rule", "fallback": True, "fallback_reason": "timeout"},
            "m 1.1.0 (by a rule) (fallback: timeout): ",
        ),
    ],
)
def test_the_last_line_says_why_that_version_answered(capsys, fields, who):
    """Where calls are shared out; and why the chosen one could not."""
    given = {"outputs": {}, "model": "m", "version": "1.1.0", "fallback": False, "queue_s": 0.0, "compute_s": 0.0}
    answer = Prediction(**given | fields, batch_rows=1, request_id="")
    show(answer)
    assert capsys.readouterr().out.splitlines()[-1].startswith(who)
    assert (document(answer)["route"], document(answer)["fallback_reason"]) == (
        fields.get("route"),
        fields.get("fallback_reason"),
    )


def test_a_prediction_from_and_to_npy_files_is_exact(ask, tmp_path):
    """Nothing is rounded on the way."""
    weights, bias = tabular_weights()
    x = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    ended = ask("predict", "tab", "--input", f"x=@{tmp_path / 'x.npy'}", "--save", f"y=@{tmp_path / 'y.npy'}")
    assert ended.code == 0, ended.err
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), x @ weights + bias, rtol=1e-5)


def test_json_has_the_whole_answer(ask, tmp_path):
    """Times are real, so only their keys are asserted."""
    (tmp_path / "x.json").write_text(json.dumps([ROW, ROW]))
    ended = ask("predict", "tab", "--input", f"x=@{tmp_path / 'x.json'}", "--json", "--version", "1.0.0")
    answer = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    times = {name: answer.pop(name) for name in ("queue_s", "compute_s")}
    assert answer == {
        "model": "tab",
        "version": "1.0.0",
        "route": None,
        "fallback": False,
        "fallback_reason": None,
        "batch_rows": 2,
        "outputs": {"y": {"dtype": "float32", "shape": [2, 4], "data": [[12.0, 17.5, 23.0, 28.5]] * 2}},
    }
    assert min(times.values()) >= 0


def test_only_the_outputs_named_are_asked_for(ask):
    """In the order named."""
    ended = ask("predict", "two", "--input=a=[[1,2]]", "--input=b=[[3,4]]", "--output=product", "--json")
    assert json.loads(ended.out)["outputs"] == {"product": {"dtype": "float32", "shape": [1, 2], "data": [[3.0, 8.0]]}}


def test_an_output_that_is_saved_is_asked_for_beside_those_named(ask, tmp_path):
    """`--output` limits what is shown, not what is written."""
    file = tmp_path / "sum.json"
    ended = ask("predict", "two", "--input=a=[[1,2]]", "--input=b=[[3,4]]", "--output=product", f"--save=sum=@{file}")
    assert ended.code == 0, ended.err
    assert json.loads(file.read_text()) == [[4.0, 6.0]]


def test_text_from_a_model_cannot_steer_the_terminal(ask):
    """Escapes are shown, not obeyed; rich's markup is text."""
    ended = ask("predict", "text", "--input", 'x=[["yes", "\\u001b[31m[bold]é"]]')
    assert ended.out.splitlines()[1].rstrip() == "y       bytes  [1, 2]  ['yes', '\\x1b[31m[bold]\\xc3\\xa9']"


def test_text_in_json_is_text(ask):
    """Strings come back as they went."""
    ended = ask("predict", "text", "--input", 'x=[["yes", "né"]]', "--json")
    outputs = json.loads(ended.out)["outputs"]
    assert outputs["y"] == {"dtype": "bytes", "shape": [1, 2], "data": [["yes", "né"]]}
    assert outputs["is_yes"] == {"dtype": "bool", "shape": [1, 2], "data": [[True, False]]}


def test_text_fits_no_npy_file(ask, tmp_path):
    """It would have to be pickled."""
    ended = ask("predict", "text", "--input", 'x=[["a", "b"]]', "--save", f"y=@{tmp_path / 'y.npy'}")
    assert (ended.code, ended.err) == (2, "error: --save y: BYTES fit no .npy file, name a .json file\n")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "model 'tab' takes x (FP32 [-1, 8]), got nothing: name each with --input"),
        (["--input=z=1"], "model 'tab' takes x (FP32 [-1, 8]), got z: name each with --input"),
        (["--input=x=[[1]]", "--output=z"], "model 'tab' gives y, got 'z'"),
        (["--input=x=[[1]]", "--save=z=@z.npy"], "model 'tab' gives y, got 'z'"),
        (["--input=x"], "--input: expected NAME=@FILE.npy, NAME=@FILE.json or NAME=JSON, got 'x'"),
        (["--input=x=1", "--input=x=2"], "--input x: expected each input once"),
        (
            ["--input=x=@x.txt"],
            "--input x: expected NAME=@FILE.npy, NAME=@FILE.json or NAME=JSON, got the file 'x.txt'",
        ),
        (["--input=x=@/nowhere/x.npy"], "--input x: cannot read '/nowhere/x.npy': No such file or directory"),
        (["--input=x={}"], "--input x: expected numbers, truth values, text or lists of them, got '{}'"),
        (["--save=y=y.npy"], "--save: expected NAME=@FILE.npy or NAME=@FILE.json, got 'y=y.npy'"),
    ],
)
def test_flags_that_cannot_be_meant_are_usage_errors(ask, flags, sentence):
    """Before anything is sent."""
    assert ask("predict", "tab", *flags) == (2, "", f"error: {sentence}\n")


def test_json_that_cannot_be_read_says_where(ask):
    """The parser's own words, behind what was expected."""
    ended = ask("predict", "tab", "--input", "x=[[1,")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith('error: --input x: expected JSON such as [[1, 2]] or ["text"]: Expecting value')


def test_pickled_files_are_not_read(ask, tmp_path):
    """They could run anything."""
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    ended = ask("predict", "tab", "--input", f"x=@{tmp_path / 'x.npy'}")
    assert (ended.code, ended.out) == (2, "")
    assert "holds no array of numbers that can be read" in ended.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope", "--input=x=1"],
         "model 'nope': expected one that this server has; 'serinus models list' shows them (NOT_FOUND)"),
        (["tab", "--input=x=[[1, 2]]"], "input 'x': expected shape [-1, 8], got [1, 2] (WRONG_SHAPE)"),
        (["tab", '--input=x=[["a"]]'], "input 'x': expected FP32, got a list of BYTES (WRONG_DTYPE)"),
        (["tab", f"--input=x=[{ROW}]", "--save=y=@/nowhere/y.npy"],
         "--save y: cannot write '/nowhere/y.npy': No such file or directory"),
    ],
)  # fmt: skip
def test_calls_that_fail_say_why(ask, arguments, sentence):
    """In the server's or the SDK's words, and the one that programs go by."""
    assert ask("predict", *arguments) == (1, "", f"error: {sentence}\n")


def test_an_optional_input_may_be_left_out(ask):
    """The model has a default for it."""
    ended = ask("predict", "spare", "--input", "x=[[1, 2]]", "--json")
    assert json.loads(ended.out)["outputs"]["y"]["data"] == [[11.0, 12.0]]


def test_a_version_stands_behind_the_name_or_in_a_flag(ask):
    """As with every other command; both at once cannot be meant."""
    x = json.dumps([[0.0] * 8])
    for which in (["tab@1.0.0"], ["tab@^1"], ["tab", "--version", "1.0.0"]):
        ended = ask("predict", *which, f"--input=x={x}", "--json")
        assert json.loads(ended.out)["version"] == "1.0.0"
    assert ask("predict", "tab@1.0.0", "--version=1.0.0", f"--input=x={x}").code == 2


def test_nobody_there_is_exit_code_3(serinus, closed_port):
    """So that a script can start a server and try again."""
    ended = serinus("predict", "tab", "--input=x=1", "--server", closed_port)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == (
        f"error: no server answers at {closed_port}: start one with `serinus serve`, "
        "or name another with --server or SERINUS_SERVER\n"
    )


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32(1.5).reshape(()), "1.5"),
        (np.array([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
        (np.arange(17), "0, 1, 2, 3, ... from 0 to 16"),
        (np.linspace(0, 1, 1000, dtype=np.float32), "0.      , 0.001001, 0.002002, 0.003003, ... from 0 to 1"),
        (np.arange(20) % 2 == 0, " True, False,  True, False, ... 10 of 20 true"),
        (np.array([], np.float32), "[]"),
        (np.array([b"a"] * 17, object), "[" + ", ".join(["'a'"] * 16) + "] ... 17 in all"),
    ],
)
def test_many_values_are_summarised(array, text):
    """Beyond sixteen."""
    assert shown(array) == text
