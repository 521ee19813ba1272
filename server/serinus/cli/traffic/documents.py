"""What a server says of a model's traffic, as JSON and as text for people."""

import json

from rich.console import Console, RenderableType

from serinus.cli import units
from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.rollout.gauges import gauge
from serinus_api.v1 import admin_pb2 as pb

_BAR_WIDTH = 30
_BREAKER_STYLES = {"closed": "green", "open": "red", "half_open": "yellow"}


def show_traffic(traffic: pb.ModelTraffic, *, as_json: bool) -> None:
    """Write it to standard output."""
    if as_json:
        print_json(traffic_document(traffic))
    else:
        _print(traffic, console())


def traffic_document(traffic: pb.ModelTraffic) -> dict[str, object]:
    """Split, fallback and breakers of one model."""
    return {
        "model": traffic.model,
        "revision": traffic.revision,
        "arms": [{"version": arm.version, "weight_percent": arm.weight} for arm in traffic.arms],
        "rules": [
            {"attribute": rule.attribute, "values": list(rule.values), "version": rule.version}
            for rule in traffic.rules
        ],
        "mirror": {"version": traffic.mirror.version, "percent": traffic.mirror.percent}
        if traffic.HasField("mirror")
        else None,
        "rollout": traffic.rollout or None,
        "fallback": _fallback_document(traffic.fallback) if traffic.fallback.targets else None,
        "breakers": [
            {
                "version": breaker.version,
                "state": breaker.state,
                "failures_in_a_row": breaker.failures_in_a_row,
                "retry_in_s": breaker.retry_in_s,
            }
            for breaker in traffic.breakers
        ],
    }


def _fallback_document(fallback: pb.Fallback) -> dict[str, object]:
    return {
        "targets": [_target_document(target) for target in fallback.targets],
        "triggers": list(fallback.triggers),
        "attempt_timeout_s": fallback.attempt_timeout_s or None,
        "budget": fallback.budget,
        "ranges": {name: [each.lowest, each.highest] for name, each in sorted(fallback.ranges.items())},
    }


def _target_document(target: pb.FallbackTarget) -> dict[str, object]:
    match target.WhichOneof("target"):
        case "version":
            return {"version": target.version}
        case "model":
            return {"model": target.model}
        case _:
            return {"constant": json.loads(target.constant_json or "{}")}


def _print(traffic: pb.ModelTraffic, out: Console) -> None:
    out.print(cell(f"{traffic.model}  revision {traffic.revision}", "bold"))
    if traffic.rollout:
        out.print(cell(f"rollout {traffic.rollout} shares its calls out", "cyan"))
    out.print(_arms(traffic))
    for rule in traffic.rules:
        out.print(cell(f"{rule.attribute} {' or '.join(rule.values)} → {rule.version}"))
    if traffic.HasField("mirror"):
        out.print(cell(f"copies of {units.percent(traffic.mirror.percent / 100)} → {traffic.mirror.version}"))
    if traffic.fallback.targets:
        out.print(cell(_fallback(traffic.fallback)))
    for breaker in traffic.breakers:
        state = cell(_breaker(breaker), _BREAKER_STYLES.get(breaker.state, ""))
        out.print(cell(f"breaker of {breaker.version}: ") + state)


def _arms(traffic: pb.ModelTraffic) -> RenderableType:
    if not traffic.arms:
        return cell("all calls go to stable, or else to the highest version")
    table = plain_table("VERSION", "WEIGHT", "", right=("WEIGHT",))
    for arm in traffic.arms:
        share = arm.weight / 100
        table.add_row(cell(arm.version), units.percent(share), gauge(share, _BAR_WIDTH, "blue"))
    return table


def _fallback(fallback: pb.Fallback) -> str:
    targets = ", then ".join(
        f"the constant {target.constant_json}" if target.WhichOneof("target") == "constant_json"
        else target.model or target.version
        for target in fallback.targets
    )  # fmt: skip
    triggers = ", ".join(fallback.triggers) or "anything"
    patience = f" after {units.seconds(fallback.attempt_timeout_s)} at most" if fallback.attempt_timeout_s else ""
    return f"on {triggers}{patience}: {targets}; for at most {units.percent(fallback.budget)} of the calls"


def _breaker(breaker: pb.BreakerStatus) -> str:
    state = breaker.state.replace("_", " ")
    if breaker.retry_in_s:
        return f"{state} after {breaker.failures_in_a_row} failures in a row, tries again in {breaker.retry_in_s:.1f} s"
    return f"{state}, {breaker.failures_in_a_row} failures in a row" if breaker.failures_in_a_row else state
