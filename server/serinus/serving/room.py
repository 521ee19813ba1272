"""What a full queue has for one more call: the word that admission and the queue share."""

import enum


class Room(enum.Enum):
    """Who has to go, now that all places are taken."""

    MADE = enum.auto()  # another call went
    SHARE_USED = enum.auto()  # the new one: its tenant has its part of what there is
    NONE = enum.auto()  # the new one
