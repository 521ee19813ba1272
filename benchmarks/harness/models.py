"""The models that are measured: one small one made here, the others found inside installed packages."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny(folder: Path) -> Path:
    """Eight floats to four, [N, 8] → [N, 4]: a run takes microseconds, so calls cost what the server costs."""
    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.standard_normal((8, 4)).astype(np.float32), "W")
    bias = numpy_helper.from_array(rng.standard_normal(4).astype(np.float32), "b")
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "W", "b"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [weights, bias],
    )
    path = folder / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def layered(path: Path, mib: int, seed: int) -> Path:
    """[N, 512] → [N, 512] through `mib` square matrices of 1 MiB each; every seed gives another file."""
    rng = np.random.default_rng(seed)
    names = ["x", *(f"h{layer}" for layer in range(1, mib)), "y"]
    weights = [  # scaled, so that values stay small through any number of layers
        numpy_helper.from_array(rng.standard_normal((512, 512), np.float32) / np.float32(32), f"W{layer}")
        for layer in range(mib)
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[layer], f"W{layer}"], [names[layer + 1]]) for layer in range(mib)],
        "layered",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 512])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def magika() -> Path:
    """File-type detection; INT32 [N, 2048] → 214 classes."""
    found = importlib.util.find_spec("magika")
    assert found is not None, "pip install 'serinus[bench]' brings magika"
    assert found.origin is not None
    return next(Path(found.origin).parent.glob("models/*/model.onnx"))
