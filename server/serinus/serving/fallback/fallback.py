"""Lets others answer what the chosen version of a model could not: a version, another model, or a constant."""

import dataclasses
from collections.abc import Callable, Container

from serinus.core.predictor import Predictor, Request, Response
from serinus.core.signature import Signature
from serinus.core.traffic import Constant, FallbackPolicy, OtherVersion, Trigger
from serinus.core.version import ModelVersion
from serinus.serving.fallback.budget import FallbackBudget
from serinus.serving.fallback.constant_answers import ConstantAnswers
from serinus.serving.output_checks import OutputCheck

Meaning = Callable[[str, str], ModelVersion | None]
"""The version that a model and a selector mean now; None if none serves that is meant."""


def second_try(request: Request, *, model: str, version: str, deadline: float) -> Request:
    """A copy of a call for somebody else; nothing that a layer sets on it is seen in the original."""
    return dataclasses.replace(request, model=model, version=version, deadline=deadline, rows=1)


class Fallback:
    """Tries the targets of one model's policy in order, right at `inner`: their own fallbacks are not tried.

    Attributes:
        policy: What to try.
        meaning: Finds what a target means.
        signature_of: What a version takes and gives; None if it is not here.
        budget: A try of a version costs a token. A constant cannot be flooded, and costs none.
    """

    def __init__(
        self,
        inner: Predictor,
        policy: FallbackPolicy,
        *,
        meaning: Meaning,
        signature_of: Callable[[ModelVersion], Signature | None],
        clock: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._meaning = meaning
        self._signature_of = signature_of
        self._clock = clock
        self._check = OutputCheck(policy.ranges)
        self._constants: dict[int, tuple[Signature, ConstantAnswers | None]] = {}
        self.budget = FallbackBudget(policy.budget, clock())

    def answers(self, trigger: Trigger) -> bool:
        """Whether it is tried because of `trigger`."""
        return trigger in self._policy.triggers

    async def answer(self, request: Request, chosen: ModelVersion, tried: Container[int]) -> Response | None:
        """The first good answer of a target; None if no target has one.

        Args:
            request: The call; it is not touched.
            chosen: The version that could not; what a constant stands in for.
            tried: Numbers of the versions of the model that could not; they are not tried again.
        """
        for place, target in enumerate(self._policy.targets):
            if self._clock() >= request.deadline:
                return None
            if isinstance(target, Constant):
                response = self._constant(place, target, request, chosen)
            else:
                response = await self._other(target, request, tried)
            if response is not None:
                return response
        return None

    async def _other(self, target: OtherVersion, request: Request, tried: Container[int]) -> Response | None:
        meant = self._meaning(target.model, target.selector)
        if meant is None or (meant.model == request.model and meant.number in tried):
            return None
        if not self.budget.spend(self._clock()):
            return None
        asked = second_try(request, model=meant.model, version=meant.number_text, deadline=request.deadline)
        try:
            response = await self._inner.predict(asked)
            return None if self._check.is_invalid(response) else response
        except Exception:  # noqa: BLE001 - the next one is tried; the caller hears of the first error
            return None

    def _constant(self, place: int, constant: Constant, request: Request, chosen: ModelVersion) -> Response | None:
        if (answers := self._answers(place, constant, chosen)) is None:
            return None
        outputs = answers.answer(request)
        return None if outputs is None else Response(outputs, chosen)

    def _answers(self, place: int, constant: Constant, chosen: ModelVersion) -> ConstantAnswers | None:
        """The constant at `place` for the signature of `chosen`, or for the last one known if it is gone."""
        known = self._constants.get(place)
        signature = self._signature_of(chosen) or (known and known[0])
        if signature is None:
            return None
        if known is None or known[0] is not signature:
            try:
                known = signature, ConstantAnswers(constant, signature)
            except ValueError:
                known = signature, None  # it fitted when it was set; the version has changed since
            self._constants[place] = known
        return known[1]
