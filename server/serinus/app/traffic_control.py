"""Shares calls out on an operator's word: turns what was said into what the registry keeps."""

import secrets
from collections.abc import Callable, Mapping
from typing import Protocol

from serinus.app.declared_fallback import with_declared_fallback
from serinus.app.following import Following
from serinus.core.errors import InvalidInput, Refused
from serinus.core.selector import STABLE
from serinus.core.traffic import WHOLE, Arm, FallbackPolicy, Rule, TrafficSplit
from serinus.core.version import ModelVersion
from serinus.registry.records import ModelRecord
from serinus.registry.sql.writing import selected
from serinus.serving.routing.gates import BreakerView
from serinus.transport.rollouts.values import SplitOrder

_SALT_BYTES = 16  # no two splits share one by chance


def new_salt() -> str:
    """A salt that no split has."""
    return secrets.token_hex(_SALT_BYTES)


class Registry(Protocol):
    """Where it is written down; `registry.registry.Registry` is one."""

    async def model(self, name: str) -> ModelRecord:
        """The model of that name; NotFound if there is none."""
        ...

    async def set_split(
        self, model: str, split: TrafficSplit | None, *, actor: str, expected_revision: int | None = None
    ) -> ModelRecord:
        """Share the model's calls out; None sends all where they always went."""
        ...

    async def set_fallback(
        self, model: str, policy: FallbackPolicy | None, *, actor: str, expected_revision: int | None = None
    ) -> ModelRecord:
        """Let `policy` say who answers when the chosen version cannot."""
        ...

    async def reset_breakers(self, model: str, *, actor: str, expected_revision: int | None = None) -> ModelRecord:
        """Let every server forget what its breakers remember of the model."""
        ...


class TrafficControl:
    """A `transport.rollouts.ports.TrafficControl`; what it changes is in force on this server when it returns."""

    def __init__(
        self,
        registry: Registry,
        following: Following,
        *,
        breakers: Callable[[str], Mapping[ModelVersion, BreakerView]],
        new_salt: Callable[[], str] = new_salt,
    ) -> None:
        self._registry = registry
        self._following = following
        self._new_salt = new_salt
        self.breakers = breakers

    async def get(self, model: str) -> ModelRecord:
        """One model with what was decided about its calls."""
        return with_declared_fallback(await self._registry.model(model))

    async def set_split(
        self, model: str, order: SplitOrder | None, *, actor: str, expected_revision: int | None
    ) -> ModelRecord:
        """Share the calls out so, or not at all for None.

        A split that only moves weights keeps its salt: who is with an arm whose weight rises stays there.

        Raises:
            NotFound: there is no such model or version.
            InvalidInput: an arm is stable itself, or is named twice.
            Refused: NO_STABLE, nobody would get what the arms leave.
        """
        split = None if order is None else self._split(await self._registry.model(model), order)
        record = await self._registry.set_split(model, split, actor=actor, expected_revision=expected_revision)
        self._following.apply_model(record)
        return record

    async def set_fallback(
        self, model: str, policy: FallbackPolicy | None, *, actor: str, expected_revision: int | None
    ) -> ModelRecord:
        """Let others answer what the chosen version cannot; nobody for None."""
        record = await self._registry.set_fallback(model, policy, actor=actor, expected_revision=expected_revision)
        self._following.apply_model(record)
        return record

    async def reset_breakers(self, model: str, *, actor: str) -> ModelRecord:
        """Let every server forget what its circuit breakers remember."""
        record = await self._registry.reset_breakers(model, actor=actor)
        self._following.apply_model(record)
        return record

    def _split(self, record: ModelRecord, order: SplitOrder) -> TrafficSplit:
        stable = record.aliases.get(STABLE)
        if stable is None:
            raise Refused(
                f"model {record.name!r} has no version that is {STABLE!r}: set that alias first; it gets what is left",
                reason="NO_STABLE",
                field="model",
            )
        arms = [Arm(selected(record, each.selector).identity, each.weight) for each in order.arms]
        versions = [stable, *(arm.version for arm in arms)]
        if len(set(versions)) != len(versions):
            raise InvalidInput(
                f"arms: expected versions other than {stable}, which is {STABLE!r} and gets what is left, each once",
                reason="SAME_VERSION",
                field="arms",
            )
        rules = [
            Rule(each.attribute, frozenset(each.values), selected(record, each.selector).identity)
            for each in order.rules
        ]
        present = record.traffic.split
        return TrafficSplit(
            salt=present.salt if present is not None else self._new_salt(),
            arms=(*arms, Arm(stable, WHOLE - sum(arm.weight for arm in arms))),
            rules=tuple(rules),
        )
