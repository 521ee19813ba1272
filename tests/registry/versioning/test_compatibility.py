"""What a change of a signature means for callers, and which versions may say so."""

import dataclasses
import itertools
import random
import re
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.dtypes import DType
from serinus.core.errors import Refused
from serinus.core.signature import Dim, Signature, TensorSpec
from serinus.core.version import Version
from serinus.registry.records import ChangeLevel, ModelRecord, VersionState
from serinus.registry.versioning.compatibility import (
    SignatureChange,
    VersionCheck,
    change_between,
    check_version,
    refuse_too_small,
)
from tests.support.records import model_record, version_record

PATCH, MINOR, MAJOR, FIRST = ChangeLevel.PATCH, ChangeLevel.MINOR, ChangeLevel.MAJOR, ChangeLevel.FIRST
_TENSOR = re.compile(r"(\w+)(?::(\w+))?\[(.*)\](\?)?")


def signature(text: str) -> Signature:
    """Read `x:INT64[N*,8] z[4]? -> y[N*]`: the star marks the batch axis, `?` what is optional, FP32 goes unsaid."""
    inputs, _, outputs = text.partition("->")
    return Signature(tuple(map(tensor, inputs.split())), tuple(map(tensor, outputs.split())))


def tensor(text: str) -> TensorSpec:
    match = _TENSOR.fullmatch(text)
    assert match is not None, text
    name, dtype, dims, optional = match.groups()
    parts = dims.split(",") if dims else []
    shape: tuple[Dim, ...] = tuple(int(part) if part.isdigit() else part.rstrip("*") for part in parts)
    batch_axis = next((axis for axis, part in enumerate(parts) if part.endswith("*")), None)
    return TensorSpec(name, DType(dtype or "FP32"), shape, batch_axis, optional is not None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x[N*,8] -> y[N*,4]", "x[N*,8] -> y[N*,4]"),
        ("x[N*,8] -> y[N*,4]", "x[batch*,8] -> y[batch*,4]"),
        ("x[N*,8] -> y[M*,4]", "x[a*,8] -> y[b*,4]"),  # rows are rows, whatever each axis is called
        ("a[N*] b[N*] -> y[N*] z[N*]", "b[N*] a[N*] -> z[N*] y[N*]"),
        ("ids[N*,L] mask[N*,L] -> y[N*,L]", "ids[b*,s] mask[b*,s] -> y[b*,s]"),
        ("x[a] -> y[a]", "x[b] -> y[b]"),
        ("x[a,a] -> y[]", "x[b,b] -> y[]"),
        ("x[] z[2]? -> y[3]", "z[2]? x[] -> y[3]"),
        ("x[N*,8] -> boxes[k,4] scores[k]", "x[N*,8] -> boxes[n,4] scores[n]"),
        ("x[N*,L] -> y[k]", "x[N*,L] -> y[L]"),  # a promise more
        ("x[L]? -> y[L]", "x[k]? -> y[k]"),
    ],
)  # fmt: skip
def test_the_same_under_other_names_is_the_same(old: str, new: str):
    """Names of free lengths, and the order, say nothing to callers."""
    assert change_between(signature(old), signature(new)) == SignatureChange(PATCH)


@pytest.mark.parametrize(
    ("old", "new", "level", "differences"),
    [
        ("x[4] -> y[4]", "-> y[4]", MAJOR, ["input 'x' is gone"]),
        ("x[4]? -> y[4]", "-> y[4]", MAJOR, ["input 'x' is gone"]),
        ("x[4] -> y[4]", "x[4] z[] -> y[4]", MAJOR, ["input 'z' is new and not optional"]),
        ("x[4] -> y[4]", "x[4] z[]? -> y[4]", MINOR, ["input 'z' is new and optional"]),
        ("x[4]? -> y[4]", "x[4] -> y[4]", MAJOR, ["input 'x' is not optional any more"]),
        ("x[4] -> y[4]", "x[4]? -> y[4]", MINOR, ["input 'x' is optional now"]),
        ("x[4] -> y[4]", "x:FP64[4] -> y[4]", MAJOR, ["input 'x' was FP32 and is FP64 now"]),
        ("x[4] -> y[4]", "x[4] -> y:FP16[4]", MAJOR, ["output 'y' was FP32 and is FP16 now"]),
        ("x[4] -> y[4]", "x[1,4] -> y[4]", MAJOR, ["input 'x' had shape [4] and has [1, 4] now"]),
        ("x[] -> y[4]", "x[] -> y[4,k]", MAJOR, ["output 'y' had shape [4] and has [4, -1] now"]),
        ("x[4] -> y[4]", "x[4] ->", MAJOR, ["output 'y' is gone"]),
        ("x[4] -> y[4]", "x[4] -> y[4] z[2]", MINOR, ["output 'z' is new"]),
        ("x[4] -> y[4]", "w[4] -> y[4]", MAJOR, ["input 'x' is gone", "input 'w' is new and not optional"]),
    ],
)  # fmt: skip
def test_inputs_may_grow_and_outputs_may_be_added(old: str, new: str, level: ChangeLevel, differences: list[str]):
    """What is gone or of another kind breaks calls."""
    assert change_between(signature(old), signature(new)) == SignatureChange(level, tuple(differences))


@pytest.mark.parametrize(
    ("old", "new", "level", "differences"),
    [
        ("x[4] -> y[]", "x[5] -> y[]", MAJOR, ["axis 0 of input 'x' had length 4 and has length 5 now"]),
        ("x[N*,L] -> y[N*]", "x[N*,8] -> y[N*]", MAJOR, ["axis 1 of input 'x' was free and has length 8 now"]),
        ("x[N*,8] -> y[N*]", "x[N*,L] -> y[N*]", MINOR, ["axis 1 of input 'x' had length 8 and is free now"]),
        ("x[] -> y[4]", "x[] -> y[5]", MAJOR, ["axis 0 of output 'y' had length 4 and has length 5 now"]),
        ("x[] -> y[4]", "x[] -> y[k]", MAJOR, ["axis 0 of output 'y' had length 4 and is free now"]),
        ("x[] -> y[k]", "x[] -> y[4]", PATCH, ["axis 0 of output 'y' was free and has length 4 now"]),
        # Calls with one row get one row, as ever.
        ("x[1,8] -> y[1,4]", "x[N*,8] -> y[N*,4]", MINOR,
         ["axis 0 of input 'x' had length 1 and is free now", "input 'x' has a batch axis now",
          "output 'y' has a batch axis now"]),
        ("x[1,8] -> y[2,4]", "x[N,8] -> y[N,4]", MAJOR,
         ["axis 0 of output 'y' had length 2 and is free now", "axis 0 of input 'x' had length 1 and is free now"]),
        ("x[1,8] -> y[1,4]", "x[N,8] -> y[M,4]", MAJOR,
         ["axis 0 of output 'y' had length 1 and is free now", "axis 0 of input 'x' had length 1 and is free now"]),
        # Which axes are equally long.
        ("a[p] b[q] -> y[]", "a[p] b[p] -> y[]", MAJOR,
         ["axis 0 of input 'b' must be as long as axis 0 of input 'a' now"]),
        ("a[p] b[p] -> y[]", "a[p] b[q] -> y[]", MINOR,
         ["axis 0 of input 'b' need not be as long as axis 0 of input 'a' any more"]),
        ("x[p,q] -> y[]", "x[p,p] -> y[]", MAJOR, ["axis 1 of input 'x' must be as long as axis 0 of input 'x' now"]),
        ("a[4] b[q] -> y[]", "a[p] b[p] -> y[]", MAJOR,
         ["axis 0 of input 'b' must be as long as axis 0 of input 'a' now",
          "axis 0 of input 'a' had length 4 and is free now"]),
        ("a[4] b[4] -> y[4]", "a[p] b[p] -> y[p]", MINOR,
         ["axis 0 of input 'a' had length 4 and is free now", "axis 0 of input 'b' had length 4 and is free now"]),
        ("x[L] -> y[L]", "x[L] -> y[k]", MAJOR,
         ["axis 0 of output 'y' was as long as axis 0 of input 'x' and is free now"]),
        ("x[L] -> y[L]", "x[L] -> y[3]", MAJOR,
         ["axis 0 of output 'y' was as long as axis 0 of input 'x' and has length 3 now"]),
        ("a[L] b[L] -> y[L]", "a[p] b[q] -> y[q]", MINOR,  # the old calls send equal lengths
         ["axis 0 of input 'b' need not be as long as axis 0 of input 'a' any more"]),
        ("a[L]? b[L] -> y[L]", "a[p]? b[q] -> y[p]", MAJOR,  # a call may leave out `a`
         ["axis 0 of output 'y' was as long as axis 0 of input 'a' and is free now",
          "axis 0 of input 'b' need not be as long as axis 0 of input 'a' any more"]),
        ("x[] -> boxes[k,4] scores[k]", "x[] -> boxes[k,4] scores[n]", MAJOR,
         ["axis 0 of output 'scores' is not as long as axis 0 of output 'boxes' any more"]),
        ("x[L,L] -> y[k,k]", "x[p,q] -> y[p,q]", MINOR,  # the old calls send equal lengths
         ["axis 1 of input 'x' need not be as long as axis 0 of input 'x' any more"]),
        ("x[] -> boxes[k,4] scores[k]", "x[] -> boxes[9,4] scores[9]", PATCH,
         ["axis 0 of output 'boxes' was free and has length 9 now",
          "axis 0 of output 'scores' was free and has length 9 now"]),
        # Rows.
        ("x[N*,8] -> y[N*]", "x[N,8] -> y[N]", PATCH,
         ["input 'x' has no batch axis any more", "output 'y' has no batch axis any more"]),
        ("x[N*,8] -> y[M*]", "x[N,8] -> y[M]", PATCH,
         ["input 'x' has no batch axis any more", "output 'y' has no batch axis any more"]),
        ("x[N*,8] -> y[M*]", "x[N,8] -> y[4]", MAJOR,
         ["axis 0 of output 'y' was as long as axis 0 of input 'x' and has length 4 now",
          "input 'x' has no batch axis any more", "output 'y' has no batch axis any more"]),
        ("x[N*,L] -> y[N*]", "x[L,N*] -> y[N*]", MAJOR,
         ["input 'x' had its rows on axis 0 and has them on 1 now",
          "axis 0 of output 'y' was as long as axis 0 of input 'x' and is free now"]),
        ("x[N*] t[M] -> y[N*]", "x[N*] t[M*] -> y[N*]", MAJOR,
         ["axis 0 of input 't' must be as long as axis 0 of input 'x' now", "input 't' has a batch axis now"]),
    ],
)  # fmt: skip
def test_lengths_count_as_far_as_callers_see_them(old: str, new: str, level: ChangeLevel, differences: list[str]):
    """Judged by the calls that fitted before: are they taken, and are the answers as long as promised?"""
    change = change_between(signature(old), signature(new))
    assert (change.level, sorted(change.differences)) == (level, sorted(differences))


def test_what_demands_the_level_is_said_first():
    """A refusal has room for a few sentences only."""
    change = change_between(signature("x[4] -> y[k]"), signature("x[N] z[]? -> y[4] q[]"))
    assert change.differences[-1] == "axis 0 of output 'y' was free and has length 4 now"
    assert change_between(signature("x[4] -> y[]"), signature("x[4] z[]? -> ")).differences[0] == "output 'y' is gone"


DIMS = (1, 4, "N", "L")
dims = st.lists(st.sampled_from(DIMS), max_size=2).map(tuple)


def sides(names: str) -> st.SearchStrategy[tuple[TensorSpec, ...]]:
    specs = st.builds(TensorSpec, st.sampled_from(names), st.just(DType.FP32), dims, st.none(), st.booleans())
    return st.lists(specs, max_size=3, unique_by=lambda spec: spec.name).map(tuple)


@st.composite
def changed(draw: st.DrawFn, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The same with a length or two changed."""
    result = list(specs)
    for _ in range(draw(st.integers(0, 3)) if specs else 0):
        index = draw(st.integers(0, len(result) - 1))
        shape = list(result[index].shape)
        if shape:
            shape[draw(st.integers(0, len(shape) - 1))] = draw(st.sampled_from(DIMS))
        result[index] = dataclasses.replace(result[index], shape=tuple(shape), optional=draw(st.booleans()))
    return tuple(result)


signatures = st.builds(Signature, sides("abc"), sides("xyz"))
pairs = signatures.flatmap(
    lambda old: st.tuples(st.just(old), st.builds(Signature, changed(old.inputs), changed(old.outputs)))
)


def renamed(spec: TensorSpec) -> TensorSpec:
    return dataclasses.replace(spec, shape=tuple(f"{dim}_" if isinstance(dim, str) else dim for dim in spec.shape))


@settings(deadline=None)
@given(signatures)
def test_a_signature_does_not_differ_from_itself(one: Signature):
    """In any order, and under other names of lengths."""
    other = Signature(tuple(map(renamed, reversed(one.inputs))), tuple(map(renamed, reversed(one.outputs))))
    assert change_between(one, one) == change_between(one, other) == SignatureChange(PATCH)


Shapes = tuple[tuple[str, tuple[int, ...]], ...]


def shapes(specs: Iterable[TensorSpec], length: Mapping[str, int]) -> Shapes:
    ordered = sorted(specs, key=lambda spec: spec.name)
    return tuple((s.name, tuple(d if isinstance(d, int) else length[d] for d in s.shape)) for s in ordered)


def behaviour(one: Signature) -> dict[Shapes, set[Shapes]]:
    """The shapes of every call that fits, and of the answers that it may get; each free length is 1, 4 or 7."""
    found: dict[Shapes, set[Shapes]] = {}
    names = sorted({dim for spec in (*one.inputs, *one.outputs) for dim in spec.shape if isinstance(dim, str)})
    for left_out in itertools.product(*([False, True] if spec.optional else [False] for spec in one.inputs)):
        sent = [spec for spec, is_out in zip(one.inputs, left_out, strict=True) if not is_out]
        for lengths in itertools.product([1, 4, 7], repeat=len(names)):
            length = dict(zip(names, lengths, strict=True))
            found.setdefault(shapes(sent, length), set()).add(shapes(one.outputs, length))
    return found


@settings(deadline=None)
@given(pairs)
def test_what_is_no_major_change_keeps_every_promise(pair: tuple[Signature, Signature]):
    """Tried with every call: those that fitted fit, and get no answer that they could not get before."""
    old, new = map(behaviour, pair)
    keeps_promises = all(call in new and new[call] <= answers for call, answers in old.items())
    level = change_between(*pair).level
    assert keeps_promises or level is MAJOR
    if level is PATCH:
        assert old.keys() == new.keys()


def all_required(one: Signature) -> Signature:
    return Signature(tuple(dataclasses.replace(spec, optional=False) for spec in one.inputs), one.outputs)


@settings(deadline=None)
@given(pairs)
def test_what_is_a_major_change_breaks_a_promise(pair: tuple[Signature, Signature]):
    """Nobody is asked for a new major version in vain; tried without optional inputs, where more could be kept."""
    old, new = map(all_required, pair)
    if change_between(old, new).level is MAJOR:
        before, after = behaviour(old), behaviour(new)
        assert not all(call in after and after[call] <= answers for call, answers in before.items())


ONE = signature("x[N*,8] -> y[N*]")
MORE = signature("x[N*,8] z[]? -> y[N*]")
OTHER = signature("w[N*,8] -> y[N*]")


def registered(**versions: Signature) -> ModelRecord:
    """Model m with versions such as v1_2_3=signature."""
    return model_record(
        *(
            version_record(name.removeprefix("v").replace("_", "."), number, signature=one)
            for number, (name, one) in enumerate(versions.items(), start=1)
        )
    )


def check(model: ModelRecord | None, version: str, one: Signature) -> tuple[ChangeLevel, str, str]:
    """Level, what it was compared with, and the smallest version that fits if this one does not."""
    found = check_version(model, Version.parse(version), one)
    assert (found.required is None) == (found.sentence == f"{version} is large enough")
    return found.level, str(found.compared_with or ""), str(found.required or "")


@pytest.mark.parametrize("version", ["0.0.0", "0.1.0", "1.0.0", "7.3.2"])
def test_a_first_version_may_have_any_number(version: str):
    """There is nothing to compare it with."""
    assert check(None, version, ONE) == check(model_record(), version, ONE) == (FIRST, "", "")


@pytest.mark.parametrize(
    ("version", "new", "expected"),
    [
        ("1.2.4", ONE, (PATCH, "1.2.3", "")),
        ("1.3.0", ONE, (PATCH, "1.2.3", "")),  # larger than it needs to be
        ("2.0.0", ONE, (PATCH, "1.2.3", "")),
        ("1.2.4", MORE, (MINOR, "1.2.3", "1.3.0")),
        ("1.3.0", MORE, (MINOR, "1.2.3", "")),
        ("2.0.0", MORE, (MINOR, "1.2.3", "")),
        ("1.2.4", OTHER, (MAJOR, "1.2.3", "2.0.0")),
        ("1.9.0", OTHER, (MAJOR, "1.2.3", "2.0.0")),
        ("2.0.0", OTHER, (MAJOR, "1.2.3", "")),
        ("9.9.9", OTHER, (MAJOR, "1.2.3", "")),
    ],
)
def test_a_version_says_what_changed(version: str, new: Signature, expected: tuple[ChangeLevel, str, str]):
    """A larger step than needed is always fine."""
    assert check(registered(v1_2_3=ONE), version, new) == expected


@pytest.mark.parametrize(
    ("version", "new", "expected"),
    [
        ("0.2.4", ONE, (PATCH, "0.2.3", "")),
        ("0.2.4", MORE, (MINOR, "0.2.3", "0.3.0")),
        ("0.2.4", OTHER, (MAJOR, "0.2.3", "0.3.0")),
        ("0.3.0", OTHER, (MAJOR, "0.2.3", "")),
        ("1.0.0", OTHER, (MAJOR, "0.2.3", "")),
    ],
)
def test_before_the_first_major_version_anything_changes_with_the_minor_number(
    version: str, new: Signature, expected: tuple[ChangeLevel, str, str]
):
    """Semantic versioning's rule for 0.y.z."""
    assert check(registered(v0_2_3=ONE), version, new) == expected


def test_a_version_is_compared_with_the_one_below_it():
    """Not with the newest: an older line is patched while the next one exists."""
    model = registered(v1_2_3=ONE, v2_0_0=OTHER, v1_0_0=MORE)
    assert check(model, "1.2.4", ONE) == (PATCH, "1.2.3", "")
    assert check(model, "2.0.1", OTHER) == (PATCH, "2.0.0", "")
    assert check(model, "2.0.1", ONE) == (MAJOR, "2.0.0", "3.0.0")
    assert check(model, "1.2.4", OTHER) == (MAJOR, "1.2.3", "2.0.1")


def test_archived_versions_count():
    """Their callers may still be there."""
    model = model_record(version_record("1.0.0", 1, signature=ONE, state=VersionState.ARCHIVED))
    assert check(model, "1.0.1", OTHER) == (MAJOR, "1.0.0", "2.0.0")


def test_a_version_that_goes_in_between_must_not_break_the_way_up():
    """Callers of ^1.1 would be moved from 1.1.0 to 1.2.0, which lacks the new input."""
    model = registered(v1_0_0=ONE, v1_2_0=ONE)
    found = check_version(model, Version(1, 1), MORE)
    assert found == VersionCheck(
        level=MINOR,
        compared_with=Version(1, 2),
        differences=("input 'z' is gone",),
        required=Version(1, 3),
        sentence=(
            "m@1.1.0 is too close to 1.2.0, which its callers could not call: input 'z' is gone; the smallest version"
            " that fits is 1.3.0"
        ),
    )
    assert check(registered(v1_0_0=ONE, v1_2_0=MORE), "1.1.0", MORE) == (MINOR, "1.0.0", "")
    assert check(registered(v1_0_0=ONE, v2_0_0=ONE), "1.1.0", MORE) == (MINOR, "1.0.0", "")
    assert check(registered(v1_1_0=ONE), "1.0.0", MORE) == (FIRST, "1.1.0", "1.2.0")
    assert check(registered(v1_1_0=ONE), "0.9.0", MORE) == (FIRST, "", "")


def test_a_break_that_somebody_forced_does_not_stop_the_line_below_it():
    """1.1.0 breaks callers of 1.0.0 already; 1.0.1 makes nothing worse."""
    model = registered(v1_0_0=ONE, v1_1_0=OTHER)
    assert check(model, "1.0.1", ONE) == (PATCH, "1.0.0", "")
    assert check(model, "1.1.1", OTHER) == (PATCH, "1.1.0", "")


def test_a_small_version_is_refused_with_what_differs():
    """And with the smallest that would do."""
    found = check_version(registered(v1_2_3=ONE), Version(1, 2, 4), OTHER)
    with pytest.raises(Refused) as refused:
        refuse_too_small(found)
    assert (refused.value.reason, refused.value.field) == ("VERSION_TOO_SMALL", "version")
    assert refused.value.message == (
        "m@1.2.4 is too small for what it changes since 1.2.3: input 'x' is gone; input 'w' is new and not optional;"
        " the smallest version that fits is 2.0.0"
    )
    refuse_too_small(check_version(registered(v1_2_3=ONE), Version(2), OTHER))


def test_a_refusal_stays_short():
    """However much differs, and whatever the tensors are called."""
    old = Signature(tuple(TensorSpec(f"{index:03}" + "n" * 9999, DType.FP32, ()) for index in range(500)), ())
    sentence = check_version(registered(v1_0_0=old), Version(1, 1), ONE).sentence
    assert len(sentence) < 1200
    assert sentence.endswith("; and 494 more; the smallest version that fits is 2.0.0")


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_smallest_version_that_fits_fits(rng: random.Random):
    """And no version between it and the one asked for does, tried one by one."""
    texts = rng.sample([f"{a}.{b}.{c}" for a in range(3) for b in range(3) for c in range(3)], rng.randint(1, 6))
    model = registered(**{f"v{text.replace('.', '_')}": rng.choice([ONE, MORE, OTHER]) for text in texts})
    asked = Version(rng.randint(0, 2), rng.randint(0, 2), 9)
    new = rng.choice([ONE, MORE, OTHER])
    found = check_version(model, asked, new)
    if found.required is None:
        return
    assert check_version(model, found.required, new).required is None
    taken = {record.identity.version for record in model.versions}
    between = (Version(a, b, c) for a in range(4) for b in range(4) for c in range(11))
    assert not any(
        asked < each < found.required and each not in taken and check_version(model, each, new).required is None
        for each in between
    )
