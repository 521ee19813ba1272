"""An operator's calls about rollouts for threads: each waits for the asynchronous one of its name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serinus_api.v1 import admin_pb2 as pb
from serinus_client.admin_rollouts import SIMULATE_S, RolloutCalls
from serinus_client.blocking import Run, iterate


class Rollouts:
    """Arguments, answers and errors are those of `RolloutCalls`. What is an asynchronous iterator there is one here."""

    def __init__(self, run: Run, rollouts: RolloutCalls) -> None:
        self._run = run
        self._rollouts = rollouts

    def start_rollout(
        self,
        spec: str | Mapping[str, Any],
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Let a version earn its calls."""
        return self._run(
            self._rollouts.start_rollout(spec, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s)
        )

    def get_rollout(self, rollout_id: str = "", *, model: str = "", timeout_s: float | None = None) -> pb.Rollout:
        """A rollout with the numbers behind it: the one with that id, or the newest of `model`."""
        return self._run(self._rollouts.get_rollout(rollout_id, model=model, timeout_s=timeout_s))

    def list_rollouts(
        self, *, model: str = "", active: bool = False, timeout_s: float | None = None
    ) -> Iterator[pb.Rollout]:
        """Rollouts without their numbers, newest first, page by page."""
        return iterate(self._run, self._rollouts.list_rollouts(model=model, active=active, timeout_s=timeout_s))

    def watch_rollout(self, rollout_id: str = "", *, model: str = "") -> Iterator[pb.Rollout]:
        """A rollout as it is, then again whenever it has moved and each second; to its end."""
        return iterate(self._run, self._rollouts.watch_rollout(rollout_id, model=model))

    def rollout_journal(self, rollout_id: str, *, timeout_s: float | None = None) -> Sequence[pb.RolloutEvent]:
        """What has happened to a rollout, oldest first, with the evidence."""
        return self._run(self._rollouts.rollout_journal(rollout_id, timeout_s=timeout_s))

    def pause_rollout(
        self,
        rollout_id: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Stop the clock; the weights stay, and a candidate that fails is still taken out."""
        return self._run(
            self._rollouts.pause_rollout(
                rollout_id, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def resume_rollout(
        self,
        rollout_id: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Let it go on."""
        return self._run(
            self._rollouts.resume_rollout(
                rollout_id, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def promote_rollout(
        self,
        rollout_id: str,
        *,
        force: bool = False,
        version: str = "",
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Move it on: past an approval, to the next stage if the judge says pass, or to the end with `force`."""
        return self._run(
            self._rollouts.promote_rollout(
                rollout_id,
                force=force,
                version=version,
                expected_revision=expected_revision,
                actor=actor,
                timeout_s=timeout_s,
            )
        )

    def abort_rollout(
        self,
        rollout_id: str,
        *,
        reason: str = "",
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Take the candidate out at once."""
        return self._run(
            self._rollouts.abort_rollout(
                rollout_id, reason=reason, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def list_disagreements(self, rollout_id: str, *, timeout_s: float | None = None) -> Sequence[pb.Disagreement]:
        """Mirrored calls that the versions answered differently, as far as the server that answers has kept them."""
        return self._run(self._rollouts.list_disagreements(rollout_id, timeout_s=timeout_s))

    def simulate_rollout(
        self,
        spec: str | Mapping[str, Any],
        *,
        rate: float,
        baseline: pb.RolloutAssumption | None = None,
        candidate: pb.RolloutAssumption | None = None,
        runs: int = 0,
        seed: int = 0,
        timeout_s: float = SIMULATE_S,
    ) -> pb.SimulateRolloutResponse:
        """Play a plan against assumed rates, many times; nothing is changed."""
        return self._run(
            self._rollouts.simulate_rollout(
                spec, rate=rate, baseline=baseline, candidate=candidate, runs=runs, seed=seed, timeout_s=timeout_s
            )
        )

    def report_metric(
        self,
        model: str,
        version: str,
        metric: str,
        values: Sequence[float],
        *,
        report_id: str = "",
        timeout_s: float | None = None,
    ) -> bool:
        """Say how a version did, by a metric of a rollout's guardrails; whether it was counted now and not before."""
        return self._run(
            self._rollouts.report_metric(model, version, metric, values, report_id=report_id, timeout_s=timeout_s)
        )
