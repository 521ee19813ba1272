"""What is known of a rollout between two looks: the evidence, and what the judge made of it."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from serinus.core.errors import DataLost
from serinus.core.windows import ServerWindow
from serinus.rollout.documents import verdict_document, verdict_of
from serinus.rollout.judging.evidence import Evidence, evidence_document, evidence_of, fold
from serinus.rollout.rollout import WITHOUT_CALLS, Outcome, Rollout, Status, Verdict

Judge = Callable[[Evidence, Rollout, float], Verdict]
"""What `rollout.judging.judge.judge` is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """The evidence, and the last verdict on it.

    Attributes:
        evidence: Of all servers, since the rollout began.
        verdict: None before anything was judged. Of a rollout that fails it is what failed it.
    """

    evidence: Evidence
    verdict: Verdict | None


NOTHING_JUDGED: Final = Judgement(Evidence(), None)
"""Of a rollout that has just begun."""


def judged(before: Judgement, rollout: Rollout, windows: Sequence[ServerWindow], at: float, judge: Judge) -> Judgement:
    """What is known once `windows` are too.

    Raises:
        ArithmeticError: the judge says pass for numbers that are none.
    """
    evidence = fold(before.evidence, rollout, windows, at)
    if rollout.status is Status.PREPARING or rollout.status in WITHOUT_CALLS:
        return Judgement(evidence, before.verdict)
    verdict = judge(evidence, rollout, at)
    if verdict.outcome is Outcome.PASS and any(_is_nan(check.e_value, check.bound) for check in verdict.checks):
        raise ArithmeticError(f"{verdict.reason}: passed on what is not a number")
    return Judgement(evidence, verdict)


def judgement_document(judgement: Judgement) -> dict[str, object]:
    """`judgement` as JSON."""
    verdict = judgement.verdict
    return {
        "evidence": evidence_document(judgement.evidence),
        "verdict": None if verdict is None else verdict_document(verdict),
    }


def judgement_of(document: Mapping[str, object] | None) -> Judgement:
    """What `judgement_document` wrote; nothing judged for None.

    Raises:
        DataLost: nobody wrote it like that.
    """
    if document is None:
        return NOTHING_JUDGED
    evidence, verdict = document.get("evidence"), document.get("verdict")
    if not isinstance(evidence, Mapping) or not isinstance(verdict, Mapping | None):
        raise DataLost("the evidence of a rollout is not as it was written", reason="EVIDENCE_UNREADABLE")
    return Judgement(evidence_of(evidence), None if verdict is None else verdict_of(verdict))


def _is_nan(*numbers: float | None) -> bool:
    return any(number is not None and math.isnan(number) for number in numbers)
