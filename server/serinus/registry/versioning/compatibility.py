"""What a change of a signature means for those who call the model, and the smallest version that may say so.

The question is always the same: do the calls that fitted the old signature fit the new one, and do they get what the
old one promised? Callers name inputs and outputs, so order does not matter. What an input takes may only grow, what an
output gives may only narrow:

    input: gone, new and required, other type or number of axes, a length fixed or fixed otherwise     MAJOR
    input: new and optional, optional and was not, a fixed length that became free                     MINOR
    output: gone, other type or number of axes, a fixed length that changed or became free             MAJOR
    output: new                                                                                        MINOR
    output: a free length that is fixed now, because callers had to be ready for it                    PATCH

Names of free lengths say nothing but which axes are equally long. Inputs that must be so now break calls (MAJOR); that
they need not any more allows new ones (MINOR). An output that was as long as an input must stay so, for the calls that
fitted before: where [1,8] -> [1,4] becomes [N,8] -> [N,4], those calls get what they always got.

A batch axis that is lost or new changes how fast calls are answered, and not what a call is: PATCH. A model that loses
all of them, as quantizing can make its rows depend on each other, is still taken to give as many rows as it gets. One
that moved gives both axes another meaning: MAJOR.
"""

import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from serinus.core.errors import Refused
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import Version
from serinus.registry.records import ChangeLevel, ModelRecord, VersionRecord
from serinus.registry.versioning.axis_lengths import Difference, length_differences

_RANK: Final = {ChangeLevel.FIRST: 0, ChangeLevel.PATCH: 1, ChangeLevel.MINOR: 2, ChangeLevel.MAJOR: 3}
_MOST_SENTENCES = 8  # an error's details have little room


@dataclasses.dataclass(frozen=True, slots=True)
class SignatureChange:
    """What a new signature is to those who call the old one.

    Attributes:
        level: PATCH, MINOR or MAJOR.
        differences: What differs, a sentence each without a full stop; what demands the level comes first.
    """

    level: ChangeLevel
    differences: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class VersionCheck:
    """Whether a version says what its signature changes.

    Attributes:
        level: What it changes for callers of the version before it; FIRST if there is none.
        compared_with: The registered version that decided: the one below, unless the one above forbids it; or None.
        differences: What differs from that one.
        required: The smallest version above it that would do, or None if it does itself.
        sentence: For people.
    """

    level: ChangeLevel
    compared_with: Version | None
    differences: tuple[str, ...]
    required: Version | None
    sentence: str


def change_between(old: Signature, new: Signature) -> SignatureChange:
    """What `new` changes for those who call `old`."""
    differences = (*_inputs(old, new), *_outputs(old, new), *length_differences(old, new))
    found = sorted(differences, key=lambda each: -_RANK[each[0]])
    return SignatureChange(
        level=found[0][0] if found else ChangeLevel.PATCH,
        differences=tuple(dict.fromkeys(sentence for _, sentence in found)),
    )


def check_version(model: ModelRecord | None, version: Version, signature: Signature) -> VersionCheck:
    """Whether `version` may have `signature`, beside the versions of `model` that are registered.

    Two neighbours count, archived ones too, because callers may still be written for them. The one below: a range such
    as ^1.2 moves its callers up to the new version, which must not break them. So 1.2.4 is compared with 1.2.3 also
    while 2.0.0 exists. And the one above: the same range moves callers of the new version on, so 1.1.0 must not have an
    input that 1.2.0 lacks; unless the one above breaks callers of the one below as well, which nobody can mend now.

    Below 1.0.0 anything may change with the minor number, so a break demands no more than that.

    Args:
        model: What is registered under the name, or None if nothing is.
        version: One that is not registered.
        signature: What it takes and gives.
    """
    line = _Line(() if model is None else model.versions, signature)
    below, _ = line.neighbours(version)
    change = None if below is None else line.since(below)
    if (misfit := line.misfit(version)) is None:
        return VersionCheck(
            level=ChangeLevel.FIRST if change is None else change.level,
            compared_with=None if below is None else below.identity.version,
            differences=() if change is None else change.differences,
            required=None,
            sentence=f"{version} is large enough",
        )
    required = line.smallest_above(version)
    other, differences = misfit.other.identity, listed(misfit.change.differences)
    what = (
        f"too small for what it changes since {other.version}"
        if other.version < version
        else f"too close to {other.version}, which its callers could not call"
    )
    return VersionCheck(
        level=ChangeLevel.FIRST if change is None else change.level,
        compared_with=other.version,
        differences=misfit.change.differences,
        required=required,
        sentence=f"{other.model}@{version} is {what}: {differences}; the smallest version that fits is {required}",
    )


def refuse_too_small(check: VersionCheck) -> None:
    """Stop a registration whose version is too small, unless somebody insists on it and does not call this.

    Raises:
        Refused: VERSION_TOO_SMALL, with what differs and the smallest version that fits.
    """
    if check.required is not None:
        raise Refused(check.sentence, reason="VERSION_TOO_SMALL", field="version")


def _inputs(old: Signature, new: Signature) -> Iterator[Difference]:
    for name, spec in old.input.items():
        tensor, other = f"input {name[:64]!r}", new.input.get(name)
        if other is None:
            yield ChangeLevel.MAJOR, f"{tensor} is gone"
        else:
            yield from _kinds(tensor, spec, other)
            if spec.optional and not other.optional:
                yield ChangeLevel.MAJOR, f"{tensor} is not optional any more"
            if other.optional and not spec.optional:
                yield ChangeLevel.MINOR, f"{tensor} is optional now"
    for name in (name for name in new.input if name not in old.input):
        level, what = (ChangeLevel.MINOR, "") if new.input[name].optional else (ChangeLevel.MAJOR, "not ")
        yield level, f"input {name[:64]!r} is new and {what}optional"


def _outputs(old: Signature, new: Signature) -> Iterator[Difference]:
    for name, spec in old.output.items():
        tensor, other = f"output {name[:64]!r}", new.output.get(name)
        if other is None:
            yield ChangeLevel.MAJOR, f"{tensor} is gone"
        else:
            yield from _kinds(tensor, spec, other)
    yield from ((ChangeLevel.MINOR, f"output {name[:64]!r} is new") for name in new.output if name not in old.output)


def _kinds(tensor: str, old: TensorSpec, new: TensorSpec) -> Iterator[Difference]:
    if old.dtype != new.dtype:
        yield ChangeLevel.MAJOR, f"{tensor} was {old.dtype} and is {new.dtype} now"
    if len(old.shape) != len(new.shape):
        yield ChangeLevel.MAJOR, f"{tensor} had shape {list(old.wire_shape)} and has {list(new.wire_shape)} now"
    elif old.batch_axis is not None and new.batch_axis is not None and old.batch_axis != new.batch_axis:
        yield ChangeLevel.MAJOR, f"{tensor} had its rows on axis {old.batch_axis} and has them on {new.batch_axis} now"
    elif old.batch_axis is not None and new.batch_axis is None:
        yield ChangeLevel.PATCH, f"{tensor} has no batch axis any more"
    elif old.batch_axis is None and new.batch_axis is not None:
        yield ChangeLevel.PATCH, f"{tensor} has a batch axis now"


@dataclasses.dataclass(frozen=True, slots=True)
class _Misfit:
    """A neighbour that the new version cannot have, and what the later of both changes."""

    other: VersionRecord
    change: SignatureChange


class _Line:
    """The registered versions in order, and where among them a new signature fits."""

    def __init__(self, records: Iterable[VersionRecord], signature: Signature) -> None:
        self._records = sorted(records, key=lambda record: record.identity.version)
        self._versions = [record.identity.version for record in self._records]
        self._signature = signature
        # By number of the registered version: looking for one that fits asks again and again.
        self._since: dict[int, SignatureChange] = {}
        self._until: dict[int, SignatureChange] = {}

    def neighbours(self, version: Version) -> tuple[VersionRecord | None, VersionRecord | None]:
        """The registered versions right below and right above."""
        before, behind = bisect_left(self._versions, version), bisect_right(self._versions, version)
        return (
            self._records[before - 1] if before > 0 else None,
            self._records[behind] if behind < len(self._records) else None,
        )

    def since(self, record: VersionRecord) -> SignatureChange:
        """What the new signature changes for callers of `record`."""
        if (change := self._since.get(record.identity.number)) is None:
            change = change_between(record.examination.signature, self._signature)
            self._since[record.identity.number] = change
        return change

    def misfit(self, version: Version) -> _Misfit | None:
        """The neighbour that the new signature cannot have as `version`, or None if it fits."""
        below, above = self.neighbours(version)
        if below is not None and not _is_allowed(self.since(below).level, below.identity.version, version):
            return _Misfit(below, self.since(below))
        if above is not None:
            change = self._change_until(above)
            if not _is_allowed(change.level, version, above.identity.version):
                inherited = ChangeLevel.FIRST if below is None else _level_between(below, above)
                if _RANK[inherited] < _RANK[change.level]:
                    return _Misfit(above, change)
        return None

    def smallest_above(self, version: Version) -> Version:
        """The smallest version above `version` as which the new signature fits."""
        candidates = {bump for registered in self._versions for bump in _bumps(registered)} - set(self._versions)
        # The next major number of the highest version always fits.
        return next(each for each in sorted(candidates) if each > version and self.misfit(each) is None)

    def _change_until(self, record: VersionRecord) -> SignatureChange:
        if (change := self._until.get(record.identity.number)) is None:
            change = change_between(self._signature, record.examination.signature)
            self._until[record.identity.number] = change
        return change


def _level_between(below: VersionRecord, above: VersionRecord) -> ChangeLevel:
    return change_between(below.examination.signature, above.examination.signature).level


def _is_allowed(level: ChangeLevel, old: Version, new: Version) -> bool:
    """Whether the step from `old` to `new` announces a change of that level."""
    if old.major != new.major:
        return True
    if old.minor != new.minor:
        return old.major == 0 or level is not ChangeLevel.MAJOR
    return level is ChangeLevel.PATCH


def _bumps(version: Version) -> tuple[Version, Version, Version]:
    return (
        Version(version.major, version.minor, version.patch + 1),
        Version(version.major, version.minor + 1),
        Version(version.major + 1),
    )


def listed(sentences: Sequence[str]) -> str:
    """The first few differences, in one line."""
    more = [f"and {len(sentences) - _MOST_SENTENCES} more"] if len(sentences) > _MOST_SENTENCES else []
    return "; ".join([*sentences[:_MOST_SENTENCES], *more])
