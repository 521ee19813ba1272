"""BYTES tensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus_client.strings import decode_strings, object_array, pack, unpack


@given(st.lists(st.binary(max_size=20)))
def test_elements_survive_the_way_there_and_back(elements):
    """Zero bytes and empty elements too."""
    assert unpack(pack(elements)) == elements


def test_the_wire_form_is_length_then_bytes():
    """Little-endian; text as UTF-8."""
    assert pack(["é", b""]) == b"\x02\0\0\0\xc3\xa9\0\0\0\0"


@pytest.mark.parametrize("data", [b"\x05\0\0\0abc", b"\x01\0", b"\xff\xff\xff\xff"])
def test_a_length_beyond_the_end_is_an_error(data):
    """Nothing is allocated by a claimed length."""
    with pytest.raises(ValueError, match="ends at byte"):
        unpack(data)


def test_outputs_decode_to_text_of_the_same_shape():
    """A helper, because bytes need not be text."""
    array = object_array([b"a", b"\xc3\xa9"], (2, 1))
    decoded = decode_strings(array)
    assert decoded.tolist() == [["a"], ["é"]]
    assert decoded.dtype == np.object_
