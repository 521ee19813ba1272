"""The model as every peer runs it: ONNX Runtime, one thread a run, as many runs at once as said. Any environment."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime


class Session:
    """One open ONNX file.

    Args:
        path: The file.
        at_once: Runs at once; 1 runs where the caller is, which is quickest for models that take microseconds.

    Attributes:
        inputs: Name, element type and shape without the batch axis of each, variable axes as -1.
        outputs: The same.
    """

    def __init__(self, path: str, at_once: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._pool = ThreadPoolExecutor(at_once) if at_once > 1 else None
        self.inputs = [_described(each) for each in self._session.get_inputs()]
        self.outputs = [_described(each) for each in self._session.get_outputs()]
        self._names = [name for name, *_ in self.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name."""
        return dict(zip(self._names, self._session.run(self._names, inputs), strict=True))

    async def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same without holding up the event loop, if more than one may run."""
        if self._pool is None:
            return self.run(inputs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.run, inputs)


_ELEMENTS = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}


def _described(value: Any) -> tuple[str, type, tuple[int, ...]]:
    return value.name, _ELEMENTS[value.type], tuple(dim if isinstance(dim, int) else -1 for dim in value.shape[1:])
