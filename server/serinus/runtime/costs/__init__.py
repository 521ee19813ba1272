"""How long a model's runs take, by rows and padded length, learned from the runs themselves."""

from serinus.runtime.costs.by_length import LengthCosts
from serinus.runtime.costs.by_rows import STALE, CostModel
from serinus.runtime.costs.documents import costs_from, document_of
from serinus.runtime.costs.points import KnownCost
from serinus.runtime.costs.quick import QuickRuns

__all__ = [
    "STALE",
    "CostModel",
    "KnownCost",
    "LengthCosts",
    "QuickRuns",
    "costs_from",
    "document_of",
]
