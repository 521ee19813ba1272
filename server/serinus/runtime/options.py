"""How a model is to be loaded and run."""

import dataclasses
from collections.abc import Mapping

from serinus.config.models import DeclaredFill, Tolerance
from serinus.core.predictor import Tensors


@dataclasses.dataclass(frozen=True, slots=True)
class SessionOptions:
    """What the operator may say about one model's sessions.

    Attributes:
        providers: Hardware in order of preference: "cpu", "cuda", "tensorrt", or onnxruntime's names.
        intra_op_threads: Threads inside one run.
        lone_threads: Threads inside a run that has the machine to itself, where more than one are seen to be faster;
            without effect where `intra_op_threads` or the providers are not the usual ones.
        batching: Whether requests may be joined at all.
        batch_axes: Batch axis by tensor name, for models where it is not the first; tensors not named have none.
            Empty: read from the model.
        padding: How inputs may be filled up, by name, so that calls of different lengths are joined.
        unpadding: Axis by output name that is as long as the padded inputs, or a constant share of that.
        samples: Example of an input by name, batch axis included, for the warm-up; what is not given is invented.
        warm_up_s: Seconds after which the warm-up starts no further run.
        goldens: Files of golden requests, by their path beside the model; answered rightly before the model is loaded.
        tolerance: How far their answers may be from the expected ones.
    """

    providers: tuple[str, ...] = ("cpu",)
    # Several runs side by side on one thread each give more rows per second than one run on several threads
    # (measured: 294 against 188), and models do not fight over cores.
    intra_op_threads: int = 1
    lone_threads: int = 1
    batching: bool = True
    batch_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    padding: Mapping[str, DeclaredFill] = dataclasses.field(default_factory=dict)
    unpadding: Mapping[str, int] = dataclasses.field(default_factory=dict)
    samples: Tensors = dataclasses.field(default_factory=dict)
    warm_up_s: float = 1.0
    goldens: tuple[str, ...] = ()
    tolerance: Tolerance = dataclasses.field(default_factory=Tolerance)
