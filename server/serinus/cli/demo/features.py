"""What the file type model sees of a file: its first and its last bytes, without the blanks around them."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from serinus.cli.demo.package import FileTypeModel

Features = npt.NDArray[np.int32]


def read_features(file: Path, model: FileTypeModel) -> Features | None:
    """INT32 [1, beg_size + end_size], or None if the file has too few bytes for the model.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        return features(stream, model)


def features(stream: BinaryIO, model: FileTypeModel) -> Features | None:
    """The same of an open file.

    The first `block_size` bytes lose the blanks before them and give the beginning, padded behind; the last ones lose
    the blanks after them and give the end, padded in front.
    """
    size = stream.seek(0, os.SEEK_END)
    block = min(size, model.block_size)
    stream.seek(0)
    beginning = stream.read(block).lstrip()[: model.beg_size]
    # What is counted is the beginning alone: a file may have a page of blanks before its first word.
    if size < model.least_bytes or len(beginning) < model.least_bytes:
        return None
    stream.seek(size - block)
    end = stream.read(block).rstrip()[-model.end_size :]
    tokens = np.full((1, model.beg_size + model.end_size), model.padding_token, np.int32)
    tokens[0, : len(beginning)] = np.frombuffer(beginning, np.uint8)
    if end:
        tokens[0, -len(end) :] = np.frombuffer(end, np.uint8)
    return tokens
