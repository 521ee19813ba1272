"""`serinus rollout disagreements`: what is shown of them and what is written."""

import json

import numpy as np
import pytest

from serinus_api.v1 import admin_pb2 as pb
from serinus_api.v1 import predict_pb2
from tests.support.rollout_messages import at, rollout


def _tensor(name: str, *values: float) -> predict_pb2.Tensor:
    return predict_pb2.Tensor(
        name=name, dtype=predict_pb2.DATA_TYPE_FP32, shape=[1, len(values)], data=np.array(values, "<f4").tobytes()
    )


TEXT = predict_pb2.Tensor(name="t", dtype=predict_pb2.DATA_TYPE_BYTES, shape=[1], data=b"\x02\x00\x00\x00ab")


@pytest.fixture
def kept(rollouts):
    """Two of them; the candidate failed the second."""
    rollouts.add(rollout())
    rollouts.disagreements = [
        pb.Disagreement(
            at=at(9), request_id="q-1", inputs=[_tensor("x", 1, 2), TEXT], baseline=[_tensor("y", 0.5)],
            candidate=[_tensor("y", 0.75)], sentence="y differs by 0.25",
        ),
        pb.Disagreement(at=at(10), request_id="q-2", inputs=[TEXT], baseline=[_tensor("y", 1)], sentence="it failed"),
    ]  # fmt: skip
    return rollouts


@pytest.mark.usefixtures("kept")
def test_each_is_shown_with_what_both_answered(tell):
    """Inputs first."""
    out = tell("rollout", "disagreements", "magika")
    assert (out.code, out.err) == (0, "")
    assert [line.split() for line in out.out.splitlines()] == [
        ["1", "2023-11-14T22:13:29Z", "q-1", "y", "differs", "by", "0.25"],
        ["NAME", "SHAPE", "VALUES"],
        ["inputs", "x", "[1,", "2]", "[[1.,", "2.]]"],
        ["inputs", "t", "[1]", "['ab']"],
        ["baseline", "y", "[1,", "1]", "[[0.5]]"],
        ["candidate", "y", "[1,", "1]", "[[0.75]]"],
        ["2", "2023-11-14T22:13:30Z", "q-2", "it", "failed"],
        ["NAME", "SHAPE", "VALUES"],
        ["inputs", "t", "[1]", "['ab']"],
        ["baseline", "y", "[1,", "1]", "[[1.]]"],
        ["the", "candidate", "did", "not", "answer"],
    ]


@pytest.mark.usefixtures("kept")
def test_each_is_written_to_a_file_that_unpickles_nothing(tell, tmp_path):
    """By side and name."""
    folder = tmp_path / "kept" / "here"
    out = tell("rollout", "disagreements", "r-1", "--out", folder, "--json")
    assert [each["request_id"] for each in json.loads(out.out)] == ["q-1", "q-2"]
    with np.load(folder / "disagreement-1.npz", allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["baseline.y", "candidate.y", "inputs.t", "inputs.x"]
        np.testing.assert_array_equal(arrays["candidate.y"], np.array([[0.75]], np.float32))
        assert arrays["inputs.t"].tolist() == [b"ab"]
    assert sorted(file.name for file in folder.iterdir()) == ["disagreement-1.npz", "disagreement-2.npz"]


@pytest.mark.usefixtures("kept")
def test_a_folder_that_cannot_be_written_is_told(tell, tmp_path):
    """Exit code 1."""
    (tmp_path / "file").write_text("")
    out = tell("rollout", "disagreements", "r-1", "--out", tmp_path / "file" / "x")
    assert (out.code, out.out) == (1, "")
    assert out.err.startswith("error: --out: cannot write to ")


def test_a_server_may_have_kept_none(tell, rollouts):
    """Because there are none, or because another one has them."""
    rollouts.add(rollout())
    assert tell("rollout", "disagreements", "r-1").out == "this server has kept none\n"
