import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.config.errors import ConfigError
from serinus.config.models import (
    BatchingSpec,
    DeclaredFill,
    QueueSpec,
    TensorDeclaration,
    Tolerance,
    WarmUpInput,
    WarmUpSample,
)
from serinus.config.version_facts import (
    LONGEST_FACTS_BYTES,
    ServingOptions,
    Slo,
    VersionFacts,
    dump_version_facts,
    parse_version_facts,
)
from serinus.core.dtypes import DType

EVERYTHING = """\
description: Tells fraud from honest payments.
intended_use: |
  For payments in euros.
  Not for cash.
framework: scikit-learn 1.8
metrics: {accuracy: 0.93, loss: 1e-05, rows: 1200}
training_data: Payments of 2025.
training_data_hash: md5:0123456789abcdef0123456789abcdef.dir
dataset_revision: v2.10
code_revision: 0123456
author: Ada <ada@example.com>
license: Apache-2.0
tags: {team: fraud, release: no, day: 2026-01-01}
parameters: {learning_rate: 1.10, nesterov: yes}
quantized_from: fraud@1.2.3
trained_from: fraud-base@1.0.0
serving:
  batching: {max_rows: 64, preferred_rows: [8, 16]}
  queue: {timeout_s: 2}
  batch_axes: {x: 0}
  reject_nonfinite: true
  inputs: [{name: x, dtype: FP32, dims: [8]}]
  warm_up:
  - name: typical
    inputs: {x: {dtype: FP32, dims: [8], fill: file, file: warmup/x.raw}}
  labels: {y: [honest, fraud]}
  slo: {p99_s: 0.05, error_rate: 0.001}
  fallback: [fraud@1.0.0, stable]
  padding: {x: {axis: 1, value: -1}}
tolerance: {absolute: 1e-3}
card: |
  ## Caveats

  - none | known
"""

lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}", fullmatch=True)
numbers = st.floats(allow_nan=False, allow_infinity=False)
references = st.sampled_from(["", "m@1.2.3", "a.b_c-d@0.0.0"])
servings = st.builds(
    ServingOptions,
    batching=st.builds(BatchingSpec, enabled=st.booleans(), max_rows=st.integers(1, 999), linger_s=st.floats(0, 1)),
    queue=st.builds(QueueSpec, timeout_s=st.none() | st.floats(0.1, 9)),
    batch_axes=st.dictionaries(lines, st.integers(0, 3), max_size=2),
    providers=st.sampled_from([None, ("cpu",), ("cuda", "cpu")]),
    max_batch_size=st.none() | st.integers(0, 9),
    inputs=st.lists(
        st.builds(
            TensorDeclaration,
            name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
            dtype=st.sampled_from(DType),
            dims=st.lists(st.integers(-1, 9)).map(tuple),
            optional=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    warm_up=st.sampled_from(
        [
            (),
            (WarmUpSample(name="null", inputs={"x": WarmUpInput(dtype=DType.BOOL, dims=(), fill="random")}, rows=2),),
        ]
    ),
    labels=st.dictionaries(lines, st.lists(texts, max_size=3).map(tuple), max_size=2),
    parameters=st.dictionaries(texts, texts, max_size=2),
    slo=st.builds(Slo, p99_s=st.none() | st.floats(1e-6, 9), error_rate=st.none() | st.floats(0, 1)),
    fallback=st.lists(lines, max_size=3).map(tuple),
    padding=st.dictionaries(lines, st.builds(DeclaredFill, axis=st.integers(0, 9), value=numbers), max_size=2),
)
facts = st.builds(
    VersionFacts,
    description=texts,
    intended_use=texts,
    framework=lines,
    metrics=st.dictionaries(names, numbers, max_size=3),
    training_data=texts,
    training_data_hash=st.sampled_from(["", "md5:" + "0" * 32, "sha256:" + "e" * 64]),
    code_revision=lines | st.sampled_from(["0123456", "1e5", "null", "~", "2024-01-01", "yes", "0x1f"]),
    tags=st.dictionaries(names, lines, max_size=3),
    parameters=st.dictionaries(names, lines, max_size=3),
    quantized_from=references,
    trained_from=references,
    serving=servings,
    tolerance=st.builds(Tolerance, absolute=st.floats(0, 1), relative=st.floats(0, 1)),
    card=texts,
)


SERVING = [
    "batching", "queue", "batch_axes", "padding", "unpadding", "instances", "intra_op_threads", "providers",
    "reject_nonfinite", "max_batch_size", "inputs", "outputs", "warm_up", "labels", "parameters", "slo", "fallback",
]  # fmt: skip
BAD_HASH = "expected 'sha256:<64 digits>' or 'md5:<32 digits>' as DVC writes it"
BAD_PATH = "invalid path '../x' in a bundle: expected names of letters, digits and ._+- with '/' between them"


def refusal(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        parse_version_facts(text)
    return refused.value.problems


@settings(deadline=None)
@given(facts)
def test_facts_come_back_as_they_were(said: VersionFacts):
    """Whatever the texts hold, to the last bit of each number; and writing them again changes nothing."""
    text = dump_version_facts(said)
    assert parse_version_facts(text) == said
    assert dump_version_facts(parse_version_facts(text)) == text


def test_everything_that_can_be_said_is_read():
    """Texts as they were written: no leading zero is lost, and `no` is no truth value."""
    said = parse_version_facts(EVERYTHING)
    assert (said.code_revision, said.dataset_revision) == ("0123456", "v2.10")
    assert said.tags == {"team": "fraud", "release": "no", "day": "2026-01-01"}
    assert said.parameters == {"learning_rate": "1.10", "nesterov": "yes"}
    assert said.metrics == {"accuracy": 0.93, "loss": 1e-5, "rows": 1200.0}
    assert said.intended_use == "For payments in euros.\nNot for cash.\n"
    assert said.card == "## Caveats\n\n- none | known\n"
    assert said.tolerance == Tolerance(absolute=1e-3)
    assert said.serving.model_dump(mode="json", exclude_defaults=True) == {
        "batching": {"max_rows": 64, "preferred_rows": [8, 16]},
        "queue": {"timeout_s": 2.0},
        "batch_axes": {"x": 0},
        "reject_nonfinite": True,
        "inputs": [{"name": "x", "dtype": "FP32", "dims": [8]}],
        "warm_up": [
            {
                "name": "typical",
                "inputs": {"x": {"dtype": "FP32", "dims": [8], "fill": "file", "file": "warmup/x.raw"}},
            }
        ],
        "labels": {"y": ["honest", "fraud"]},
        "slo": {"p99_s": 0.05, "error_rate": 0.001},
        "fallback": ["fraud@1.0.0", "stable"],
        "padding": {"x": {"axis": 1, "value": -1.0}},
    }
    assert parse_version_facts(dump_version_facts(said)) == said


@pytest.mark.parametrize("text", ["", "\n", "# nothing", "null", "{}", "description:\ntags:\nserving:\n  slo: ~"])
def test_nothing_said_is_everything_by_default(text: str):
    """A key without a value says nothing, and the shortest text for nothing is no text."""
    assert parse_version_facts(text) == VersionFacts()
    assert dump_version_facts(VersionFacts()) == ""


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("- a", ("expected keys with values, got a list",)),
        ("fraud", ("expected keys with values, got text",)),
        ("descriptoin: x", ("descriptoin: unknown key, did you mean 'description'?",)),
        (
            "serving: {batchin: {max_rows: 1}, batching: {max_row: 1}}",
            (
                "serving.batching.max_row: unknown key, did you mean 'serving.batching.max_rows'?",
                "serving.batchin: unknown key, did you mean 'serving.batching'?",
            ),
        ),
        ("metrics: {accuracy: .nan}", ("metrics.accuracy: expected a number, got '.nan'",)),
        ("metrics: {accuracy: nan}", ("metrics.accuracy: expected a number, got 'nan'",)),
        ("metrics: {accuracy: -.inf}", ("metrics.accuracy: expected a number, got '-.inf'",)),
        ("metrics: {accuracy: 1e999}", ("metrics.accuracy: expected a number, got '1e999'",)),
        ("metrics: {accuracy: true}", ("metrics.accuracy: expected a number, got 'true'",)),
        ("metrics: {accuracy: [1]}", ("metrics.accuracy: expected a number, got ['1']",)),
        (
            "metrics: {a b: 1}",
            ("metrics.a b: expected a name of at most 64 letters, digits and ._/-, got 'a b'",),
        ),
        (
            'tags: {"a\\n": x}',
            ("tags.a\n: expected a name of at most 64 letters, digits and ._/-, got 'a\\n'",),
        ),
        (
            'tags: {a: "x\\ny"}',
            ("tags.a: expected one line without control characters, got 'x\\ny'",),
        ),
        ('author: "\\e[31m"', ("author: expected one line without control characters, got '\\x1b[31m'",)),
        ('card: "\\0"', ("card: expected text without NUL",)),
        ("card: [a]", ("card: expected text of at most 65536 characters, got ['a']",)),
        (
            f"author: {'x' * 513}",
            (f"author: expected text of at most 512 characters, got '{'x' * 60}...",),
        ),
        (
            "tags: {" + ", ".join(f"t{i}: x" for i in range(65)) + "}",
            ("tags: expected a table of at most 64 entries, got a table",),
        ),
        (
            "training_data_hash: md5:0123",
            (f"training_data_hash: {BAD_HASH}, got 'md5:0123'",),
        ),
        ("quantized_from: fraud", ("quantized_from: expected MODEL@MAJOR.MINOR.PATCH, got 'fraud'",)),
        ("quantized_from: a..b@1.0.0", ("quantized_from: expected MODEL@MAJOR.MINOR.PATCH, got 'a..b@1.0.0'",)),
        ("trained_from: fraud@^1", ("trained_from: expected MODEL@MAJOR.MINOR.PATCH, got 'fraud@^1'",)),
        ("serving: {slo: {p99_s: 0}}", ("serving.slo.p99_s: expected a number above 0 and at most 3600, got '0'",)),
        (
            "serving: {padding: {x: {axis: yes}}}",
            ("serving.padding.x.axis: expected a whole number from 0 to 31, got 'yes'",),
        ),
        ("serving: {reject_nonfinite: perhaps}", ("serving.reject_nonfinite: expected true or false, got 'perhaps'",)),
        ("serving: {path: model.onnx}", (f"serving.path: unknown key, expected one of {', '.join(SERVING)}",)),
        (
            "serving: {warm_up: [{name: a, inputs: {x: {dtype: FP32, dims: [1], fill: file, file: ../x}}}]}",
            (f"serving.warm_up: {BAD_PATH}",),
        ),
        ("tolerance: {absolute: -1}", ("tolerance.absolute: expected a number of at least 0, got '-1'",)),
        (
            "a: !!python/object [ls]",
            ("cannot be read as YAML: expected no tag, got 'tag:yaml.org,2002:python/object' at line 1, column 4",),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(text: str, problems: tuple[str, ...]):
    """The sentences name the key, what was expected, and what was given."""
    assert refusal(text) == problems


def test_all_problems_are_said_at_once_but_not_without_end():
    """The first ones are enough to begin with."""
    problems = refusal("{" + ", ".join(f"k{index}: 1" for index in range(5000)) + "}")
    assert len(problems) == 33
    assert problems[0].startswith("k0: unknown key, expected one of description, ")
    assert problems[-1] == "and 4968 more"


def test_facts_that_are_too_long_are_refused():
    """Megabytes of metadata are somebody's mistake."""
    size = LONGEST_FACTS_BYTES + 1
    assert refusal("x" * size) == (f"expected at most {LONGEST_FACTS_BYTES} bytes of YAML, got {size}",)
