"""LogSettings of the Open Inference Protocol: reads and sets what the server's log shows."""

import dataclasses
from typing import Any

from open_inference import grpc_service_pb2 as oip
from serinus.core.errors import InvalidInput, Unsupported
from serinus.telemetry.logs import Logs

_SWITCHES = {"log_info": "info", "log_warning": "warning", "log_error": "error"}
_FIXED = {"log_file": "", "log_format": "default"}


def log_settings(asked: oip.LogSettingsRequest, logs: Logs) -> oip.LogSettingsResponse:
    """Apply what is asked, all or nothing, and return what holds.

    Raises:
        InvalidInput: an unknown setting, or a value of the wrong kind.
        Unsupported: the log's file or format, which the command line alone decides.
    """
    changes: dict[str, Any] = {}
    for name, value in asked.settings.items():
        kind = value.WhichOneof("parameter_choice")
        if name in _SWITCHES and kind == "bool_param":
            changes[_SWITCHES[name]] = value.bool_param
        elif name == "log_verbose_level" and kind == "uint32_param":
            changes["verbose_level"] = value.uint32_param
        elif name in _FIXED and kind == "string_param":
            if value.string_param != _FIXED[name]:
                raise Unsupported(f"{name} cannot be changed while the server runs")
        else:
            known = [*_SWITCHES, "log_verbose_level", *_FIXED]
            raise InvalidInput(
                f"log setting {name[:64]!r}: expected one of {known} with a value of its kind",
                reason="WRONG_PARAMETER",
                field=name,
            )
    if changes:
        logs.switch(dataclasses.replace(logs.switches, **changes))
    answer = oip.LogSettingsResponse()
    for name, switch in _SWITCHES.items():
        answer.settings[name].bool_param = getattr(logs.switches, switch)
    answer.settings["log_verbose_level"].uint32_param = logs.switches.verbose_level
    for name, text in _FIXED.items():
        answer.settings[name].string_param = text
    return answer
