"""Model files that must not be accepted, and files that must not even be kept."""

import io

import numpy as np
from onnx import TensorProto, helper

from serinus.core.dtypes import DType
from tests.support import models

_X = models.value("x", DType.FP32, ["N", 2])
_Y = models.value("y", DType.FP32, ["N", 2])


def with_weights(location: str) -> bytes:
    """`y = x + w`, and w lies in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "8")):
        weights.external_data.add(key=key, value=value)
    return models.build([helper.make_node("Add", ["x", "w"], ["y"])], [_X], [_Y], [weights])


def foreign() -> bytes:
    """An operator that nobody knows."""
    return models.build([helper.make_node("Surprise", ["x"], ["y"], domain="com.example")], [_X], [_Y])


def cyclic() -> bytes:
    """Each of two nodes waits for the other."""
    nodes = [helper.make_node("Add", ["x", "y"], ["z"]), helper.make_node("Add", ["x", "z"], ["y"])]
    return models.build(nodes, [_X], [_Y])


def huge_weights() -> bytes:
    """A tensor that claims 2**40 elements, and brings none."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40], raw_data=b"")
    return models.build([helper.make_node("Add", ["x", "w"], ["y"])], [_X], [_Y], [weights])


def hang() -> bytes:
    """Its first run does not end."""
    return models.slow(1 << 40)


def memory_bomb() -> bytes:
    """y [N,2] = x + the largest of 2**31 zeros: eight gigabytes come into memory by its first run."""
    shape = models.constant("shape", np.array([1 << 31], np.int64))
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["most"], keepdims=0),
        helper.make_node("Add", ["x", "most"], ["y"]),
    ]
    return models.build(nodes, [_X], [_Y], [shape])


def pickled() -> bytes:
    """A pickle of protocol 4: {"x": 1}, as anything that reads one would find it."""
    return b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01x\x94K\x01s."


def objects() -> bytes:
    """Arrays of Python objects."""
    file = io.BytesIO()
    np.savez(file, **{"input/x": np.array([object()], object)})  # type: ignore[arg-type]
    return file.getvalue()
