"""Element types: their names, their numbers on the wire, and the little-endian numpy type of each."""

import numpy as np

from serinus_api.v1 import predict_pb2 as pb

BF16 = pb.DATA_TYPE_BF16
BYTES = pb.DATA_TYPE_BYTES

NUMPY: dict[int, np.dtype[np.generic]] = {
    pb.DATA_TYPE_BOOL: np.dtype(np.bool_),
    pb.DATA_TYPE_UINT8: np.dtype("<u1"),
    pb.DATA_TYPE_UINT16: np.dtype("<u2"),
    pb.DATA_TYPE_UINT32: np.dtype("<u4"),
    pb.DATA_TYPE_UINT64: np.dtype("<u8"),
    pb.DATA_TYPE_INT8: np.dtype("<i1"),
    pb.DATA_TYPE_INT16: np.dtype("<i2"),
    pb.DATA_TYPE_INT32: np.dtype("<i4"),
    pb.DATA_TYPE_INT64: np.dtype("<i8"),
    pb.DATA_TYPE_FP16: np.dtype("<f2"),
    pb.DATA_TYPE_FP32: np.dtype("<f4"),
    pb.DATA_TYPE_FP64: np.dtype("<f8"),
}
"""Types whose memory is their wire format. BF16 and BYTES are not among them: numpy has no type for either."""

NAMES: dict[int, str] = {
    value.number: value.name.removeprefix("DATA_TYPE_") for value in pb.DataType.DESCRIPTOR.values if value.number
}
_NAME_OF_NUMPY = {numpy: NAMES[number] for number, numpy in NUMPY.items()}


def name_of(dtype: np.dtype[np.generic]) -> str:
    """What the protocol calls a numpy type; numpy's own name for one that the protocol does not have."""
    if dtype.kind in "OSU":
        return "BYTES"
    if dtype.name == "bfloat16":
        return "BF16"
    return _NAME_OF_NUMPY.get(dtype.newbyteorder("<"), dtype.name)
