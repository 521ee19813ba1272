"""How rollouts and verdicts are written as JSON and read back."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

from serinus.config.rollout_spec import RolloutSpec
from serinus.core.errors import DataLost, InvalidInput, Refused
from serinus.core.version import ModelVersion, Version
from serinus.rollout.rollout import Check, Outcome, Rollout, Status, Verdict

FORMAT: Final = 1
"""Raised when an older server could no longer read a document as it was meant."""

_UNREADABLE = (KeyError, TypeError, ValueError, InvalidInput)
_PLAIN = (
    "id", "salt", "started_at", "started_by", "slow_s", "stage", "segment", "stage_at", "paused_at", "failed_at",
    "lost_servers", "chosen", "reason", "ended_at",
)  # fmt: skip


def rollout_document(rollout: Rollout) -> dict[str, object]:
    """`rollout` as JSON.

    Its spec is written with all defaults, so that a server with other ones goes on with the rollout as it began.
    """
    return {
        "format": FORMAT,
        "model": rollout.model,
        "status": rollout.status.value,
        "spec": rollout.spec.model_dump(mode="json"),
        "baseline": _version_document(rollout.baseline),
        "candidates": [_version_document(version) for version in rollout.candidates],
        **{name: getattr(rollout, name) for name in _PLAIN},
    }


def rollout_of(document: Mapping[str, object]) -> Rollout:
    """What `rollout_document` wrote.

    Raises:
        Refused: a newer server wrote it (FORMAT_NEWER).
        DataLost: nobody wrote it like that.
    """
    try:
        return _rollout_of(document)
    except _UNREADABLE as error:
        raise DataLost("a rollout is not as it was written", reason="ROLLOUT_UNREADABLE") from error


def verdict_document(verdict: Verdict) -> dict[str, object]:
    """`verdict` as JSON."""
    return {
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "winner": verdict.winner,
        "checks": [
            {name: _json(value) for name, value in dataclasses.asdict(check).items()} for check in verdict.checks
        ],
    }


def verdict_of(document: Mapping[str, object]) -> Verdict:
    """What `verdict_document` wrote.

    Raises:
        DataLost: nobody wrote it like that.
    """
    try:
        return _verdict_of(document)
    except _UNREADABLE as error:
        raise DataLost("a verdict is not as it was written", reason="VERDICT_UNREADABLE") from error


def _rollout_of(document: Mapping[str, Any]) -> Rollout:
    if document["format"] > FORMAT:
        message = f"a rollout was written by a newer server, in format {document['format']}; this one reads {FORMAT}"
        raise Refused(message, reason="FORMAT_NEWER")
    model = document["model"]
    return Rollout(
        status=Status(document["status"]),
        spec=RolloutSpec.model_validate(document["spec"]),
        baseline=_version_of(model, document["baseline"]),
        candidates=tuple(_version_of(model, each) for each in document["candidates"]),
        **{name: document[name] for name in _PLAIN},
    )


def _verdict_of(document: Mapping[str, Any]) -> Verdict:
    return Verdict(
        outcome=Outcome(document["outcome"]),
        reason=document["reason"],
        winner=document["winner"],
        checks=tuple(_check_of(each) for each in document["checks"]),
    )


def _check_of(document: Mapping[str, Any]) -> Check:
    return Check(
        name=document["name"],
        version=document["version"],
        outcome=Outcome(document["outcome"]),
        e_value=float(document["e_value"]),
        limit=float(document["limit"]),
        candidate=_number_of(document["candidate"]),
        baseline=_number_of(document["baseline"]),
        bound=_number_of(document["bound"]),
        bound_limit=_number_of(document["bound_limit"]),
        count=document["count"],
        sentence=document["sentence"],
    )


def _version_document(version: ModelVersion) -> dict[str, object]:
    return {"version": version.version_text, "number": version.number}


def _version_of(model: str, document: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(model, Version.parse(document["version"]), document["number"])


def _json(value: object) -> object:
    match value:
        case Outcome():
            return value.value
        case float() if not math.isfinite(value):
            return str(value)  # JSON has no infinities, which evidence can reach, and no NaN
        case _:
            return value


def _number_of(value: float | str | None) -> float | None:
    return None if value is None else float(value)
