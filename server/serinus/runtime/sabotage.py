"""Breaks a model on purpose, so that a rollout can be seen to take a bad version out again."""

import enum
from pathlib import Path
from typing import Any, Final, assert_never

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_LEAST_OPSET: Final = 13  # from there on ReduceSum takes its axes as an input
_WORK_WIDTH: Final = 256  # a product of two such matrices takes a quarter of a millisecond on one core
_PREFIX: Final = "sabotage_"


class Fault(enum.StrEnum):
    """What a sabotaged model does wrong with the rows that it is told to.

    ERRS: its run fails. NAN: it answers NaN. DIFFERS: it answers the elements of each row in the opposite order. SLOW:
    it does much that nobody needs, with every row.
    """

    ERRS = "errs"
    NAN = "nan"
    DIFFERS = "differs"
    SLOW = "slow"


def sabotaged(model: Path, fault: Fault, *, percent: int = 100, work: int = 40) -> bytes:
    """The ONNX file of a model that takes and gives what `model` does, and is worse.

    Args:
        model: One file, with the batch axis first, and floats as its first output.
        fault: What is wrong with it.
        percent: Of the rows; which ones, their first input alone says, so that the same row always fares the same.
        work: For SLOW: matrix products in each run, a quarter of a millisecond each on one core.

    Raises:
        ValueError: the model is none that this can be done to.
    """
    proto = onnx.load(model)
    opset = max(each.version for each in proto.opset_import if each.domain in {"", "ai.onnx"})
    output = proto.graph.output[0]
    if opset < _LEAST_OPSET or output.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise ValueError(f"expected opset {_LEAST_OPSET} or newer and a float output, got opset {opset}")
    _Saboteur(proto.graph).apply(fault, percent, work)
    return bytes(proto.SerializeToString())


class _Saboteur:
    """Adds nodes behind the first output of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._input = graph.input[0]
        self._answer = graph.output[0].name
        self._honest = f"{_PREFIX}honest"
        self._axes = len(graph.output[0].type.tensor_type.shape.dim)
        for node in graph.node:
            node.output[:] = [self._honest if name == self._answer else name for name in node.output]
            node.input[:] = [self._honest if name == self._answer else name for name in node.input]

    def apply(self, fault: Fault, percent: int, work: int) -> None:
        """Make the output what `fault` says."""
        match fault:
            case Fault.ERRS:
                # An index beyond the end of a list of one zero is found out when it is looked up, and not before.
                where = self._node("Cast", [self._is_hit(percent)], to=TensorProto.INT64)
                nothing = self._node("Gather", [self._constant(np.zeros(1, np.float32)), where], axis=0)
                self._node("Add", [self._honest, nothing], output=self._answer)
            case Fault.NAN:
                nan = self._constant(np.array(np.nan, np.float32))
                self._node("Where", [self._is_hit(percent), nan, self._honest], output=self._answer)
            case Fault.DIFFERS:
                self._node("Where", [self._is_hit(percent), self._reversed(), self._honest], output=self._answer)
            case Fault.SLOW:
                self._node("Add", [self._honest, self._wasted_time(work)], output=self._answer)
            case _:
                assert_never(fault)

    def _node(self, kind: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        output = output or f"{_PREFIX}{len(self._graph.node)}"
        self._graph.node.append(helper.make_node(kind, inputs, [output], name=f"{output}_node", **attributes))
        return output

    def _constant(self, value: object) -> str:
        name = f"{_PREFIX}constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _is_hit(self, percent: int) -> str:
        """Of each row whether it is one of the unlucky ones; as many axes as the output."""
        numbers = self._node("Cast", [self._input.name], to=TensorProto.INT64)
        others = list(range(1, len(self._input.type.tensor_type.shape.dim)))
        total = self._node("ReduceSum", [numbers, self._constant(np.array(others, np.int64))], keepdims=0)
        part = self._node("Mod", [total, self._constant(np.int64(100))])
        hit = self._node("Less", [part, self._constant(np.int64(percent))])
        behind = list(range(1, self._axes))
        return self._node("Unsqueeze", [hit, self._constant(np.array(behind, np.int64))]) if behind else hit

    def _reversed(self) -> str:
        bounds = [self._constant(np.array([number], np.int64)) for number in (-1, np.iinfo(np.int64).min, -1, -1)]
        return self._node("Slice", [self._honest, *bounds])

    def _wasted_time(self, work: int) -> str:
        """Zero, after `work` products of matrices that begin with the input, so that nothing can be computed ahead."""
        numbers = self._node("Cast", [self._input.name], to=TensorProto.FLOAT)
        axes = list(range(len(self._input.type.tensor_type.shape.dim)))
        total = self._node("ReduceSum", [numbers, self._constant(np.array(axes, np.int64))], keepdims=0)
        zero = self._node("Mul", [total, self._constant(np.float32(0))])
        shape = self._constant(np.array([_WORK_WIDTH, _WORK_WIDTH], np.int64))
        matrix = self._node("Expand", [zero, shape])
        factor = self._constant(np.eye(_WORK_WIDTH, dtype=np.float32))
        for _ in range(work):
            matrix = self._node("MatMul", [matrix, factor])
        both = self._constant(np.array([0, 1], np.int64))
        return self._node("ReduceSum", [matrix, both], keepdims=0)
