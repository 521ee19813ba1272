"""What copies of calls hold in memory."""

import numpy as np
import pytest

from serinus.serving.mirroring.copy_queue import held, size_of

MESSAGE = bytes(8000)


def floats(count: int, offset: int = 0) -> np.ndarray:
    """A view of a received message."""
    return np.frombuffer(memoryview(MESSAGE)[offset : offset + 4 * count], np.float32)


def test_a_view_of_most_of_a_message_is_kept_with_all_of_it():
    """Copying it would win little; both inputs of a call count together."""
    tensors = {"a": floats(600), "b": floats(600, 2400)}
    kept, size_bytes = held(tensors)
    assert all(kept[name] is tensors[name] for name in tensors)
    assert size_bytes == len(MESSAGE)


def test_a_view_of_a_small_part_is_copied():
    """A message of many calls would stay in memory because of one of them."""
    kept, size_bytes = held({"a": floats(10).reshape(2, 5)})
    assert kept["a"].base is None
    assert (kept["a"].shape, size_bytes) == ((2, 5), 40)


def test_rows_of_a_batch_are_copied_out_of_it():
    """The others' answers go."""
    batch = np.arange(1000, dtype=np.float64)
    batch.flags.writeable = False
    kept, size_bytes = held({"y": batch[7:9]})
    assert (kept["y"].base, kept["y"].tolist(), size_bytes) == (None, [7.0, 8.0], 16)
    assert held({"y": batch})[0]["y"] is batch


@pytest.mark.parametrize("tensor", [np.array([1.5]), np.zeros((0, 3)), np.array(3)])
def test_what_owns_its_memory_is_kept(tensor: np.ndarray):
    """However small."""
    kept, size_bytes = held({"y": tensor})
    assert kept["y"] is tensor
    assert size_bytes == tensor.nbytes


def test_texts_count_with_their_lengths():
    """The array alone holds addresses."""
    texts = {"y": np.array([b"a" * 100, b""], np.object_)}
    assert size_of(texts) == held(texts)[1] == 2 * 8 + 2 * 33 + 100


def test_nothing_is_nothing():
    """A call may have no inputs."""
    assert held({}) == ({}, 0)
