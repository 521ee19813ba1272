"""Triton's C++ front end with a Python back end: `pytriton_server.py NAME PATH PORT AT_ONCE MAX_ROWS`.

Runs in the environment of nvidia-pytriton, whose wheel carries Triton's binary.
"""

import signal
import socket
import sys
import threading

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from session import Session


def main(name: str, path: str, port: str, at_once: str, max_rows: str) -> None:
    """Serve until asked to end."""
    # One instance is called by one thread: as many sessions as runs at once, each inline.
    sessions = [Session(path, 1) for _ in range(int(at_once))]

    def instance(session: Session) -> object:
        @batch
        def infer(**inputs: np.ndarray) -> dict[str, np.ndarray]:
            return session.run(inputs)

        return infer

    config = TritonConfig(
        grpc_address="127.0.0.1",
        grpc_port=int(port),
        http_address="127.0.0.1",
        http_port=_free_port(),
        allow_metrics=False,
        exit_timeout_secs=2,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=name,
            infer_func=[instance(session) for session in sessions],
            inputs=[Tensor(name=name, dtype=dtype, shape=shape) for name, dtype, shape in sessions[0].inputs],
            outputs=[Tensor(name=name, dtype=dtype, shape=shape) for name, dtype, shape in sessions[0].outputs],
            # Without delay: the next run fills while one computes.
            config=ModelConfig(max_batch_size=int(max_rows), batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        # Not `serve`: asked to end, it would not end what it has started.
        triton.run()
        threading.Event().wait()  # the handler below ends it


def _free_port() -> int:
    """Triton wants to be told every port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    main(*sys.argv[1:])
