"""What is ordered of the quantizer, read from messages, and what it tells, written as messages."""

import dataclasses

from serinus.runtime.quantization.report import QuantizationBounds, RecipeResult
from serinus.transport.predict_codec import decode_tensors
from serinus.transport.registry.messages import brief_version
from serinus.transport.registry.quantize_values import QuantizeOrder, QuantizeStep
from serinus.transport.registry.requests import finite, named, out_of_range
from serinus_api.v1 import registry_pb2 as pb

_MOST_ROWS = 1 << 16  # more teach a quantizer nothing
_LONGEST_WAIT_S = 3600.0


def order_of(asked: pb.QuantizeModelRequest, actor: str, *, max_inputs: int) -> QuantizeOrder:
    """What to quantize, and how; `actor` is who asks for it.

    Raises:
        InvalidInput: a tensor, name, number or bound that cannot be meant.
    """
    model, selector = named(asked)
    if asked.traffic_rows > _MOST_ROWS:
        raise out_of_range("traffic_rows", f"at most {_MOST_ROWS}", asked.traffic_rows)
    timeout_s = finite("traffic_timeout_s", asked.traffic_timeout_s)
    if not 0 <= timeout_s <= _LONGEST_WAIT_S:
        raise out_of_range("traffic_timeout_s", f"0 to {_LONGEST_WAIT_S:g}", timeout_s)
    return QuantizeOrder(
        model=model,
        selector=selector,
        calibration=decode_tensors(asked.calibration, max_inputs=max_inputs),
        traffic_rows=asked.traffic_rows,
        traffic_timeout_s=timeout_s,
        recipes=tuple(asked.recipes),
        bounds=_bounds(asked.bounds),
        is_dry_run=asked.dry_run,
        actor=actor,
    )


def _bounds(asked: pb.QuantizationBounds) -> QuantizationBounds:
    """The bounds that are said, and the usual ones."""
    said: dict[str, float] = {}
    for field in asked.DESCRIPTOR.fields:
        if asked.HasField(field.name):  # type: ignore[arg-type]  # the stubs know the names, not that these are they
            said[field.name] = getattr(asked, field.name)
    return QuantizationBounds(**said)


def step_message(step: QuantizeStep) -> pb.QuantizeModelResponse:
    """One piece of progress."""
    answer = pb.QuantizeModelResponse(stage=step.stage, done=step.done, total=step.total)
    if step.result is not None:
        answer.result.CopyFrom(_result(step.result))
    if (report := step.report) is not None:
        answer.report.results.extend(_result(result) for result in report.results)
        answer.report.winner = report.winner
        answer.report.sentence = report.sentence
        if step.registered is not None:  # too new for an alias to name it
            answer.report.version.CopyFrom(brief_version(step.registered, {}))
    return answer


def _result(result: RecipeResult) -> pb.RecipeResult:
    return pb.RecipeResult(**dataclasses.asdict(result))
