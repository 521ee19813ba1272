"""The model card of a version."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from serinus.config.version_facts import VersionFacts, parse_version_facts
from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.dtypes import DType
from serinus.core.signature import Signature, TensorSpec
from serinus.registry.cards.card import render_card
from serinus.registry.records import ChangeLevel, Examination, GoldenResult, VersionRecord, VersionState
from tests.support.records import version_record

A, B = "a" * 64, "b" * 64
FACTS = parse_version_facts("""
description: |
  Tells fraud from
  honest payments.

  Second | paragraph.
intended_use: Payments in euros; not for cash.
framework: scikit-learn 1.8
metrics: {recall: 0.9, accuracy: 0.93333333}
training_data: Payments of 2025.
training_data_hash: md5:0123456789abcdef0123456789abcdef.dir
dataset_revision: v2.10
code_revision: abc123
author: Ada <ada@example.com>
license: Apache-2.0
parameters: {learning_rate: 0.1}
quantized_from: fraud@1.2.3
trained_from: base@1.0.0
serving:
  batching: {max_rows: 64}
  slo: {p99_s: 0.05, error_rate: 0.001}
tolerance: {absolute: 0.001}
card: |
  ## Caveats

  - none | known
""")
REPORT = {
    "results": [
        {"recipe": "float", "size_bytes": 4_000_000, "batch_1_s": 0.0021, "best_batch": 16, "best_batch_s": 0.016,
         "argmax_agreement": 1.0, "min_cosine": 1.0, "max_absolute_difference": 0.0, "accepted": True, "reason": ""},
        {"recipe": "dynamic|all", "size_bytes": 1_100_000, "batch_1_s": 0.0063, "best_batch": 4, "best_batch_s": 0.02,
         "argmax_agreement": 0.98765, "min_cosine": 0.99, "max_absolute_difference": 0.25, "accepted": False,
         "reason": "3.0 times slower"},
        {"recipe": "fp16", "accepted": False, "reason": "failed: no kernel"},
    ],
    "winner": "float",
    "sentence": "Keep the float model.",
}  # fmt: skip
FULL = dataclasses.replace(
    version_record("1.2.4", 7, model="fraud", facts=FACTS, tags={"team": "fraud", "hot": ""}, report=REPORT),
    manifest=Manifest("model.onnx", (ArtifactFile("model.onnx", A, 1_500), ArtifactFile("w.bin", B, 2_000_000))),
    examination=Examination(
        signature=Signature(
            (
                TensorSpec("x", DType.FP32, ("n", 8), 0),
                TensorSpec("bias", DType.FP32, (), None, optional=True),
            ),
            (TensorSpec("y", DType.INT64, ("n",), 0),),
        ),
        notes=("requests are not joined: the output 'y' is a scalar",),
        goldens=(GoldenResult("golden/one.npz", 1.25e-6),),
    ),
    change=ChangeLevel.MAJOR,
    is_forced=True,
    notes="## Reviewed\n\nBy *Bob*.\n",
)
CARD = f"""\
# fraud@1.2.4

Tells fraud from honest payments.

Second \\| paragraph.

## Details

|  |  |
|---|---|
| Model | fraud |
| Version | 1.2.4 (number 7) |
| Aliases | canary, stable |
| Framework | scikit-learn 1.8 |
| Author | Ada &lt;ada@example.com\\> |
| License | Apache-2.0 |
| Registered | 2026-11-21 12:00:00 UTC by ann |
| Change | major, registered by force under a smaller version |
| Quantized from | fraud@1.2.3 |
| Trained from | base@1.0.0 |
| Code revision | abc123 |
| Tags | hot, team=fraud |
| Promised latency (p99) | 0.05 s |
| Promised error rate | at most 0.001 |
| Size | 2.0 MB |
| Digest | {FULL.manifest.digest} |

## Intended use

Payments in euros; not for cash.

## Training data

Payments of 2025.

|  |  |
|---|---|
| Hash | md5:0123456789abcdef0123456789abcdef.dir |
| Revision | v2.10 |

## Parameters

| Parameter | Value |
|---|---|
| learning_rate | 0.1 |

## Metrics

| Metric | Value |
|---|---|
| accuracy | 0.933333 |
| recall | 0.9 |

## Inputs

| Name | Type | Shape | Batch axis |  |
|---|---|---|---|---|
| x | FP32 | \\[n, 8\\] | 0 |  |
| bias | FP32 | \\[\\] |  | optional |

## Outputs

| Name | Type | Shape | Batch axis |
|---|---|---|---|
| y | INT64 | \\[n\\] | 0 |

## Serving

```yaml
batching:
  max_rows: 64
slo:
  p99_s: 0.05
  error_rate: 0.001
```

## Golden requests

Answers are within 0.001 + 0.0001 * expected of those registered; they are compared again at each load.

| Request | Largest difference |
|---|---|
| golden/one.npz | 1.25e-06 |

## What the server noted

- requests are not joined: the output 'y' is a scalar

## Quantization

Keep the float model.

Winner: float.

| Recipe | Size | Batch 1 | Best batch | Rows/s | Same argmax | Least cosine | Largest difference | Verdict |
|---|---|---|---|---|---|---|---|---|
| float | 4.0 MB | 2.1 ms | 16 | 1000 | 100.00 % | 1 | 0 | accepted |
| dynamic\\|all | 1.1 MB | 6.3 ms | 4 | 200 | 98.77 % | 0.99 | 0.25 | 3.0 times slower |
| fp16 |  |  |  |  |  |  |  | failed: no kernel |

## Files

| File | Size | SHA-256 |
|---|---|---|
| model.onnx | 1.5 kB | {A} |
| w.bin | 2.0 MB | {B} |

## Caveats

- none | known

## Reviewed

By *Bob*.
"""


def test_a_card_has_all_that_is_known():
    """In the order in which one reads about a model."""
    assert render_card(FULL, aliases=["stable", "canary"]) == CARD


def test_a_card_of_which_little_is_known_is_short():
    """What is empty is left out."""
    record = version_record(state=VersionState.ARCHIVED)
    assert (
        render_card(record, aliases=())
        == f"""\
# m@1.0.0

## Details

|  |  |
|---|---|
| Model | m |
| Version | 1.0.0 (number 1) |
| State | archived |
| Registered | 2026-11-21 12:00:00 UTC by ann |
| Change | first |
| Size | 100 B |
| Digest | {record.manifest.digest} |

## Inputs

| Name | Type | Shape | Batch axis |
|---|---|---|---|
| x | FP32 | \\[n, 4\\] | 0 |

## Outputs

| Name | Type | Shape | Batch axis |
|---|---|---|---|
| y | FP32 | \\[n, 4\\] | 0 |

## Files

| File | Size | SHA-256 |
|---|---|---|
| model.onnx | 100 B | {"1" * 64} |
"""
    )


@pytest.mark.parametrize(
    "report",
    [
        {"results": "none"},
        {"results": [1, None, "x"]},
        {"results": [{"recipe": None, "size_bytes": "x", "best_batch": 0, "best_batch_s": 0, "batch_1_s": True}]},
        {"winner": "", "sentence": ""},
        {"other": 1},
    ],
)
def test_a_report_of_another_kind_is_shown_as_far_as_it_goes(report: dict[str, object]):
    """A card is always shown: an older server may have written the report."""
    assert render_card(version_record(report=report), aliases=()).startswith("# m@1.0.0\n")


HOSTILE = "</table><script>alert(1)</script>|\n# Own title\n[x](javascript:alert(1))"


def hostile_record() -> VersionRecord:
    facts = VersionFacts(
        description=HOSTILE,
        intended_use=HOSTILE,
        framework="<script>|",
        training_data=HOSTILE,
        parameters={"a": "<script>|"},
    )
    return dataclasses.replace(
        version_record(
            facts=facts, tags={"a": HOSTILE}, report={"results": [{"recipe": HOSTILE}], "sentence": HOSTILE}
        ),
        examination=Examination(
            Signature((TensorSpec(HOSTILE, DType.FP32, (HOSTILE,)),), ()),
            notes=(HOSTILE,),
            goldens=(GoldenResult(HOSTILE, 0.0),),
        ),
        created_by=HOSTILE,
    )


def test_what_others_wrote_is_no_part_of_the_card():
    """No tag, no link and no title of theirs, wherever they wrote it."""
    rendered = (
        MarkdownIt("commonmark", {"html": True}).enable("table").render(render_card(hostile_record(), aliases=()))
    )
    assert "<script" not in rendered
    assert "<a " not in rendered
    assert rendered.count("</table>") == rendered.count("<table>")
    assert "Own title</h1>" not in rendered
    assert [line for line in rendered.splitlines() if line.startswith("<h1>")] == ["<h1>m@1.0.0</h1>"]


@settings(deadline=None)
@given(st.text(max_size=60))
def test_the_authors_own_markdown_is_kept_as_it_is(text: str):
    """At the end, so that nothing of it can be taken for something that the server says after it."""
    record = dataclasses.replace(version_record(), notes=text)
    card = render_card(record, aliases=())
    if text.strip("\n").strip():
        assert card.rstrip().endswith(text.strip("\n").rstrip())
    else:
        assert card == render_card(version_record(), aliases=())
