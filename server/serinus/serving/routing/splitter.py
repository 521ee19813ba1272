"""Which arm of a split a call belongs to: a hash of its key alone, so that all servers agree, and do after restarts."""

import hashlib
import itertools
import random
from bisect import bisect_right
from typing import Final

from serinus.core.traffic import WHOLE, TrafficSplit

_HASHED_BYTES: Final = 8
"""Of the digest: 2^64 buckets folded into `WHOLE` favour none by more than 1 in 10^15."""


def bucket(salt: str, key: str) -> int:
    """The place of `key` among `WHOLE` buckets; those of two salts are independent of each other."""
    return _bucket(_prefix(salt), key)


class Splitter:
    """Draws arms by their weights.

    Calls with a routing key are sticky: the same key has the same arm everywhere, as long as the weights stay. A call
    without one is drawn by itself, and the next call of the same caller may have another arm.
    """

    def __init__(self, split: TrafficSplit, rng: random.Random) -> None:
        self._prefix = _prefix(split.salt)
        self._ends = tuple(itertools.accumulate(arm.weight for arm in split.arms))
        self._draw = rng.random

    def place(self, routing_key: str) -> int:
        """Index in `TrafficSplit.arms` of the arm that a call belongs to."""
        if routing_key:
            return bisect_right(self._ends, _bucket(self._prefix, routing_key))
        return bisect_right(self._ends, int(self._draw() * WHOLE))


def _prefix(salt: str) -> bytes:
    # The zero byte keeps the salt "a" with the key "bc" apart from "ab" with "c".
    return salt.encode() + b"\0"


def _bucket(prefix: bytes, key: str) -> int:
    try:
        text = key.encode()
    except UnicodeEncodeError:
        text = key.encode("utf-8", "surrogatepass")  # a lone surrogate has no UTF-8; its key is a key all the same
    return int.from_bytes(hashlib.sha256(prefix + text).digest()[:_HASHED_BYTES], "big") % WHOLE
