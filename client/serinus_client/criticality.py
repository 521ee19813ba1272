"""How much it matters that a call is answered when not all can be."""

import enum
from typing import Self

from serinus_api.v1 import predict_pb2 as pb


class Criticality(enum.StrEnum):
    """Who is refused first when not all calls can be answered; each stands for its text as well.

    CRITICAL: last of all; somebody waits for it and there is no second chance. DEFAULT: what a call is that says
    nothing. SHEDDABLE: before all others; a batch job's, a prefetch.
    """

    CRITICAL = "critical"
    DEFAULT = "default"
    SHEDDABLE = "sheddable"

    @classmethod
    def named(cls, name: str) -> Self:
        """The criticality of that name.

        Raises:
            ValueError: there is none; the sentence says which there are.
        """
        try:
            return cls(name)
        except ValueError:
            raise ValueError(f"criticality: expected one of {', '.join(cls)}, got {name!r}") from None

    @property
    def number(self) -> "pb.Criticality.ValueType":
        """On the wire."""
        return _NUMBERS[self]


_NUMBERS = {each: pb.Criticality.Value(f"CRITICALITY_{each.name}") for each in Criticality}
