"""Fields written by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.dtypes import DType
from serinus.transport.wire import KeptPrefixes, length_tag, nested, number_tag, varint
from serinus_api.v1 import predict_pb2 as pb
from tests.transport.tensors_of import filled

EDGES = [edge for bits in range(0, 64, 7) for edge in (2**bits - 1, 2**bits, 2**bits + 1)] + [16383, 16384, 2**64 - 1]


@given(st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1)))
def test_a_number_is_written_as_protobuf_writes_it(number: int):
    """All sixty-four bits, and each length of its encoding."""
    written = b"" if number == 0 else number_tag(1) + varint(number)
    assert written == pb.Call(id=number).SerializeToString()
    assert pb.Call.FromString(number_tag(1) + varint(number)) == pb.Call(id=number)


@given(st.binary(max_size=300))
def test_a_nested_field_is_written_as_protobuf_writes_it(content: bytes):
    """Short and long, so that the length takes one byte and two."""
    assert pb.Tensor.FromString(nested(length_tag(4), content)) == pb.Tensor(data=content)
    if content:
        assert nested(length_tag(4), content) == pb.Tensor(data=content).SerializeToString()


@pytest.mark.parametrize("field", [1, 15, 16, 2047, 2048, 536_870_911])
def test_tags_of_all_lengths_name_field_and_wire_type(field: int):
    """Fields beyond 15 have longer tags."""
    assert length_tag(field) == varint(field * 8 + 2)
    assert number_tag(field) == varint(field * 8)


class Maker:
    """Makes prefixes that say what they were made from; counts."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, name: str, dtype: DType, shape: tuple[int, ...], size_bytes: int) -> bytes:
        self.made += 1
        return f"{name} {dtype} {shape} {size_bytes}".encode()


def test_a_prefix_is_made_once_for_a_name_a_type_and_a_shape():
    """And again when one of them differs, BF16 from UINT16 included."""
    maker = Maker()
    prefixes = KeptPrefixes(maker)
    cases = [
        ("y", DType.FP32, (1, 2), 8),
        ("z", DType.FP32, (1, 2), 8),
        ("y", DType.INT32, (1, 2), 8),
        ("y", DType.FP32, (2, 1), 8),
        ("y", DType.FP32, (), 4),
        ("y", DType.BF16, (1, 2), 4),
        ("y", DType.UINT16, (1, 2), 4),
        ("y", DType.FP16, (1, 2), 4),
    ]
    for _ in range(2):
        for name, dtype, shape, size_bytes in cases:
            expected = f"{name} {dtype} {shape} {size_bytes}".encode()
            assert prefixes.of(name, filled(dtype, shape, 1), size_bytes) == expected
    assert maker.made == len(cases)


def test_the_size_of_strings_is_the_calls_own():
    """A kept prefix would say the size of somebody else's strings."""
    maker = Maker()
    prefixes = KeptPrefixes(maker)
    strings = np.array([b"a", b"b"], np.object_)
    assert prefixes.of("y", strings, 10) == b"y BYTES (2,) 10"
    assert prefixes.of("y", strings, 12) == b"y BYTES (2,) 12"
    assert maker.made == 2


def test_callers_who_choose_shapes_do_not_choose_how_much_is_kept():
    """Past 1024 everything is made anew, and the answers stay right."""
    maker = Maker()
    prefixes = KeptPrefixes(maker)
    for rows in range(3000):
        assert prefixes.of("y", np.empty((rows, 1), np.float32), rows * 4) == f"y FP32 {(rows, 1)} {rows * 4}".encode()
        assert len(prefixes._kept) <= 1024
    assert maker.made == 3000
