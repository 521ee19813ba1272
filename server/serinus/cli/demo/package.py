"""Where the demo's model is, and what its own files say about how to ask it and how to read its answers."""

import dataclasses
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serinus.cli.output import CommandFailed

_MISSING = "the demo needs the package magika: pip install 'serinus[demo]'"
_TEXT, _BINARY = "txt", "unknown"


@dataclasses.dataclass(frozen=True)
class FileTypeModel:
    """The model of the `magika` package, which tells a file's kind from its first and last bytes.

    Attributes:
        onnx: The model file.
        beg_size: Tokens from the beginning of a file; a token is a byte.
        end_size: Tokens from its end.
        block_size: Bytes read at either end, of which blanks are stripped.
        padding_token: Stands where a file has no byte.
        least_bytes: Files with fewer bytes that are not blank are not for the model.
        labels: Kind by place in the model's output.
        thresholds: Least score to believe in, by label.
        default_threshold: The same for other labels.
        renamed: Label to show in place of another.
        descriptions: What people call a label.
        text_labels: Labels of kinds that are text.
    """

    onnx: Path
    beg_size: int
    end_size: int
    block_size: int
    padding_token: int
    least_bytes: int
    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    default_threshold: float
    renamed: Mapping[str, str]
    descriptions: Mapping[str, str]
    text_labels: frozenset[str]

    def kind(self, place: int, score: float) -> str:
        """The label to show for the output at `place`, or "txt" or "unknown" where the score is too low."""
        label = self.labels[place]
        shown = self.renamed.get(label, label)
        if score >= self.thresholds.get(label, self.default_threshold):
            return shown
        return _TEXT if shown in self.text_labels else _BINARY


def find_model(package: str = "magika") -> FileTypeModel:
    """The model inside the installed `package`, which is not imported for it.

    Raises:
        CommandFailed: the package is not installed, or is not laid out as expected.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise CommandFailed(_MISSING)
    return read_model(Path(spec.origin).parent)


def read_model(package: Path) -> FileTypeModel:
    """The model inside the folder of the package.

    Raises:
        CommandFailed: the folder does not hold what the demo needs.
    """
    try:
        onnx = max(package.glob("models/*/model.onnx"))
        config = json.loads((onnx.parent / "config.min.json").read_text(encoding="utf-8"))
        kinds = json.loads((package / "config" / "content_types_kb.min.json").read_text(encoding="utf-8"))
        model = _model(onnx, config, kinds)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"the installed magika has another layout than the demo knows: {_MISSING}") from error
    if config["mid_size"] or config["use_inputs_at_offsets"]:
        raise CommandFailed(f"the installed magika reads files in another way than the demo: {_MISSING}")
    return model


def _model(onnx: Path, config: Mapping[str, Any], kinds: Mapping[str, Any]) -> FileTypeModel:
    return FileTypeModel(
        onnx=onnx,
        beg_size=config["beg_size"],
        end_size=config["end_size"],
        block_size=config["block_size"],
        padding_token=config["padding_token"],
        least_bytes=config["min_file_size_for_dl"],
        labels=tuple(config["target_labels_space"]),
        thresholds=config["thresholds"],
        default_threshold=config["medium_confidence_threshold"],
        renamed=config["overwrite_map"],
        descriptions={label: kind["description"] or label for label, kind in kinds.items()},
        text_labels=frozenset(label for label, kind in kinds.items() if kind["is_text"]),
    )
