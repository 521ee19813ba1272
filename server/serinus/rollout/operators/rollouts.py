"""What people do to rollouts: start them, stop their clock, move them on, take the candidate out."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from serinus.config.rollout_spec import RolloutSpec
from serinus.core.errors import Conflict, Refused, StoreFull, StoreUnavailable
from serinus.rollout.journal_entries import Happening, entry_of
from serinus.rollout.judging.judge import judge as judge_by_guardrails
from serinus.rollout.judging.judgement import NOTHING_JUDGED, Judge, Judgement, judged, judgement_of
from serinus.rollout.machine.effects import effects
from serinus.rollout.machine.machine import advance
from serinus.rollout.machine.plan import check_limit, new_rollout, selectors
from serinus.rollout.operators.versions import ModelVersions, Versions
from serinus.rollout.ports import Entry, History, Stored
from serinus.rollout.rollout import Abort, Event, ForcePromote, Pause, Promote, Resume, Rollout, Status
from serinus.rollout.selection import selected
from serinus.rollout.view import RolloutView, numbers_of, view_of
from serinus.telemetry.logs import get_logger

_TRIES: Final = 5  # the controller writes once a second at most: nobody loses so often by chance
_PAST: Final = 100  # a candidate that failed longer ago than so many rollouts may be tried again

_Command = Callable[[Rollout, Judgement, float], Event]

_log = get_logger(__name__)


class Decisions(Protocol):
    """Counts what is decided; `telemetry.rollout_metrics` does."""

    def decided(self, model: str, event: str, status: str) -> None:
        """Something happened to a rollout of that model, which stands there since; in the journal's words."""
        ...


class Rollouts:
    """Rollouts, and a person's word about them.

    Commands may name the revision of what the person has seen: Conflict if somebody has written since. Without one the
    command is about the rollout as it is, whoever writes at the same time. All raise NotFound for an unknown rollout,
    and Refused where it does not stand so that the command could mean anything.

    Args:
        journal: Where rollouts are.
        versions: What is registered.
        metrics: Counts what is decided.
        clock: Seconds since 1970.
        new_id: Makes an id that no rollout has.
        new_salt: Makes a salt that no split has.
        judge: Says what to think of the evidence.
    """

    def __init__(
        self,
        journal: History,
        *,
        versions: Versions,
        metrics: Decisions,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        new_salt: Callable[[], str],
        judge: Judge = judge_by_guardrails,
    ) -> None:
        self._journal = journal
        self._versions = versions
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._new_salt = new_salt
        self._judge = judge

    def __repr__(self) -> str:
        return f"<Rollouts in {self._journal!r}>"

    async def start(self, spec: RolloutSpec, *, actor: str, expected_revision: int | None) -> RolloutView:
        """Let a version earn its calls; `expected_revision` is the model's.

        Raises:
            NotFound: there is no such model or version.
            Refused: NO_STABLE, ALREADY_STABLE, SAME_VERSION, INCOMPATIBLE, LAST_FAILED, NO_LIMIT, ROLLOUT_ACTIVE.
            Conflict: the model is at another revision.
        """
        return await _tried(lambda: self._started(spec, actor, expected_revision), expected_revision)

    async def pause(self, rollout: str, *, actor: str, expected_revision: int | None) -> RolloutView:
        """Stop the clock; the weights stay."""
        return await self._command(rollout, lambda _, __, at: Pause(at, actor), actor, expected_revision)

    async def resume(self, rollout: str, *, actor: str, expected_revision: int | None) -> RolloutView:
        """Let it go on."""
        return await self._command(rollout, lambda _, __, at: Resume(at, actor), actor, expected_revision)

    async def promote(
        self, rollout: str, *, actor: str, expected_revision: int | None, version: str = ""
    ) -> RolloutView:
        """Move it on: past an approval, or to the next stage if the judge says pass.

        Args:
            rollout: Its id.
            actor: Who.
            expected_revision: Of the rollout.
            version: Which of its versions has won an A/B test, as a selector; "" where there is one candidate.
        """

        def promote(now: Rollout, known: Judgement, at: float) -> Event:
            return Promote(at, actor, known.verdict, _number(now, version))

        return await self._command(rollout, promote, actor, expected_revision)

    async def force_promote(
        self, rollout: str, *, actor: str, expected_revision: int | None, version: str = ""
    ) -> RolloutView:
        """Make a version stable at once, whatever the judge says; `version` as for `promote`."""

        def force(now: Rollout, _: Judgement, at: float) -> Event:
            return ForcePromote(at, actor, _number(now, version))

        return await self._command(rollout, force, actor, expected_revision)

    async def abort(self, rollout: str, *, actor: str, expected_revision: int | None, reason: str = "") -> RolloutView:
        """Take the candidate out at once; `reason` is for the journal."""
        return await self._command(rollout, lambda _, __, at: Abort(at, actor, reason), actor, expected_revision)

    async def _started(self, spec: RolloutSpec, actor: str, expected_revision: int | None) -> RolloutView:
        known = await self._versions.of(spec.model)
        if expected_revision is not None and known.revision != expected_revision:
            message = f"model {spec.model} is at revision {known.revision}, not at {expected_revision}: read it again"
            raise Conflict(message, current_revision=known.revision)
        rollout = self._new(spec, known, actor)
        if not spec.force:
            await self._check_past(rollout)
        entry = Entry(Happening.STARTED.value, rollout.status.value, rollout.reason, {})
        # What was read about its versions is true at this revision; another one may have another `stable`.
        stored = await self._journal.begin(
            rollout, effects(rollout), entry, actor=actor, expected_revision=known.revision
        )
        self._tell(stored, entry, actor)
        return view_of(stored, NOTHING_JUDGED, self._clock())

    def _new(self, spec: RolloutSpec, known: ModelVersions, actor: str) -> Rollout:
        baseline = known.stable
        if baseline is None:
            message = (
                f"model {spec.model} has no stable version to compare with: "
                f"'serinus models alias {spec.model} stable VERSION' names it"
            )
            raise Refused(message, reason="NO_STABLE", field="model")
        candidates = tuple(map(known.select, selectors(spec)))
        promises = (known.slo_p99_s(version) for version in (*candidates, baseline))
        rollout = new_rollout(
            spec,
            self._new_id(),
            baseline=baseline,
            candidates=candidates,
            salt=self._new_salt(),
            at=self._clock(),
            by=actor,
            slo_s=next((promise for promise in promises if promise is not None), None),
        )
        for candidate in candidates:
            if why := known.incompatibility(baseline, candidate):
                raise Refused(why, reason="INCOMPATIBLE", field="candidate")
        return check_limit(rollout)

    async def _check_past(self, rollout: Rollout) -> None:
        """Raise Refused if the last rollout of a candidate has failed."""
        past = await self._journal.recent(rollout.model, _PAST)
        for candidate in rollout.candidates:
            last = next((stored.rollout for stored in past if candidate in stored.rollout.candidates), None)
            if last is not None and last.status in {Status.FAILING, Status.ROLLED_BACK}:
                message = (
                    f"{candidate} has failed before; --force, or force: true in the plan, tries again ({last.reason})"
                )
                raise Refused(message, reason="LAST_FAILED", field="candidate")

    async def _command(self, rollout: str, command: _Command, actor: str, expected_revision: int | None) -> RolloutView:
        return await _tried(lambda: self._commanded(rollout, command, actor, expected_revision), expected_revision)

    async def _commanded(
        self, rollout: str, command: _Command, actor: str, expected_revision: int | None
    ) -> RolloutView:
        stored = await self._journal.get(rollout)
        if expected_revision is not None and stored.revision != expected_revision:
            message = f"rollout {rollout} is at revision {stored.revision}, not at {expected_revision}: read it again"
            raise Conflict(message, current_revision=stored.revision)
        at = self._clock()
        known = await self._known(stored, at)
        before = stored.rollout
        event = command(before, known, at)
        after = advance(before, event)
        entry = entry_of(before, event, after, numbers_of(before, known, at))
        written = await self._journal.write(
            after, effects(after), entry, actor=actor, expected_revision=stored.revision, lease=None
        )
        self._tell(written, entry, actor)
        return view_of(written, known, at)

    async def _known(self, stored: Stored, at: float) -> Judgement:
        """What is known of it now; nothing if that cannot be said, which keeps nobody from taking a candidate out."""
        rollout = stored.rollout
        try:
            saved = judgement_of(await self._journal.evidence(rollout.id))
            return judged(saved, rollout, await self._journal.windows(rollout.id), at, self._judge)
        except (StoreUnavailable, StoreFull):
            raise
        except Exception as error:  # noqa: BLE001 - a broken judge must not stand in a person's way
            _log.warning("rollout not judged", rollout=rollout.id, model=rollout.model, exc_info=error)
            return NOTHING_JUDGED

    def _tell(self, stored: Stored, entry: Entry, actor: str) -> None:
        rollout = stored.rollout
        self._metrics.decided(rollout.model, entry.event, entry.status)
        _log.info(
            "rollout moved",
            rollout=rollout.id,
            model=rollout.model,
            happening=entry.event,
            status=entry.status,
            actor=actor,
        )


async def _tried(attempt: Callable[[], Awaitable[RolloutView]], expected_revision: int | None) -> RolloutView:
    """What `attempt` gives; tried again when others were faster, unless somebody named what they have seen."""
    for _ in range(_TRIES - 1 if expected_revision is None else 0):
        try:
            return await attempt()
        except Conflict:
            continue
    return await attempt()


def _number(rollout: Rollout, selector: str) -> int:
    """Number of the version of a rollout that is meant; 0 where none is named."""
    return selected(rollout, selector).number if selector else 0
