"""A sabotaged model does to the rows that it is told to what it was told, and nothing to the others."""

from pathlib import Path
from time import process_time

import numpy as np
import onnx
import onnxruntime
import pytest

from serinus.runtime.sabotage import Fault, sabotaged
from tests.support.models import real_model

ROWS = np.random.default_rng(1).integers(0, 257, (40, 2048)).astype(np.int32)
UNLUCKY = ROWS.sum(axis=1) % 100 < 20


def answers(content: bytes | str) -> list[np.ndarray | None]:
    """What a model says of each row; None where its run fails."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found: list[np.ndarray | None] = []
    for row in ROWS:
        try:
            found.append(session.run(None, {"bytes": row[None]})[0][0])
        except Exception:  # noqa: BLE001 - onnxruntime's errors have no common class
            found.append(None)
    return found


@pytest.fixture(scope="module")
def honest() -> list[np.ndarray]:
    return answers(str(real_model("magika")))


@pytest.mark.parametrize("fault", [Fault.ERRS, Fault.NAN, Fault.DIFFERS])
def test_a_fault_hits_the_rows_that_it_should(fault: Fault, honest: list[np.ndarray]):
    """Every fifth row or so fares as the fault says; all others are answered as before."""
    for row, (got, wanted) in enumerate(
        zip(answers(sabotaged(real_model("magika"), fault, percent=20)), honest, strict=True)
    ):
        if not UNLUCKY[row]:
            np.testing.assert_allclose(got, wanted, atol=1e-6)
        elif fault is Fault.ERRS:
            assert got is None
        elif fault is Fault.NAN:
            assert np.isnan(got).all()
        else:
            np.testing.assert_allclose(got, wanted[::-1], atol=1e-6)


def test_a_slow_model_answers_the_same_later(honest: list[np.ndarray]):
    """It takes more than twice the CPU time, and its answers are those of the honest model."""
    started = process_time()
    answers(str(real_model("magika")))
    usual_s = process_time() - started
    started = process_time()
    found = answers(sabotaged(real_model("magika"), Fault.SLOW, work=80))
    slow_s = process_time() - started
    assert slow_s > 2 * usual_s
    np.testing.assert_allclose(found, honest, atol=1e-6)


def test_a_model_of_an_old_opset_is_refused(tmp_path: Path):
    """There is no way to break it that its opset knows."""

    proto = onnx.load(real_model("magika"))
    proto.opset_import[0].version = 12
    file = tmp_path / "old.onnx"
    onnx.save(proto, file)
    with pytest.raises(ValueError, match="opset 12"):
        sabotaged(file, Fault.NAN)
