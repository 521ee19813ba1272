"""Reads Triton's model configuration from its two spellings: `config.pbtxt` and JSON."""

from google.protobuf import json_format, text_format

from open_inference.model_config_pb2 import ModelConfig
from serinus.core.errors import InvalidInput, ModelRejected

_LONGEST_REASON = 256
_DEEPEST_JSON = 32  # the deepest field lies nine messages down


def parse_config_text(text: str) -> ModelConfig:
    """The configuration that a `config.pbtxt` holds.

    Raises:
        ModelRejected: it does not parse; the sentence has line and column.
    """
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise ModelRejected(f"config.pbtxt cannot be parsed: {_first_line(error)}") from error


def parse_config_json(text: str) -> ModelConfig:
    """The configuration that a client sends along when it asks to load a model.

    Raises:
        InvalidInput: it is not the JSON of one.
    """
    try:
        return _parse_object(text)
    except (json_format.ParseError, RecursionError) as error:
        reason = _first_line(error)
        raise InvalidInput(
            f"config: expected the JSON of a model configuration: {reason}", reason="INVALID_CONFIG", field="config"
        ) from error


def _parse_object(text: str) -> ModelConfig:
    if not text.lstrip().startswith("{"):  # the parser would take an empty list for an empty message
        raise json_format.ParseError("it is no JSON object")
    return json_format.Parse(text, ModelConfig(), max_recursion_depth=_DEEPEST_JSON)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:_LONGEST_REASON]
