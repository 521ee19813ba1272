"""What an author says about one version of a model: the YAML that is registered with it and travels with it."""

import re
from typing import Annotated, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from serinus.config.errors import ConfigError
from serinus.config.fields import Number, Section
from serinus.config.models import ModelOptions, Tolerance
from serinus.config.problems import sentences
from serinus.config.yaml_text import read_yaml
from serinus.core.artifact import check_artifact_path
from serinus.core.errors import InvalidInput
from serinus.core.version import Version, check_model_name

MOST_TAGS = 64
LONGEST_FACTS_BYTES = 1 << 20  # megabytes of metadata are somebody's mistake

_HASH = re.compile(r"md5:[0-9a-f]{32}(\.dir)?|sha256:[0-9a-f]{64}", re.ASCII)
_TAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}", re.ASCII)
_RARE_LINE_ENDS = "\x85\u2028\u2029"
_MOST_PROBLEMS = 32  # the rest of a document with more is best read again once these are mended


def _hash(text: str) -> str:
    if text and _HASH.fullmatch(text) is None:
        raise ValueError(f"expected 'sha256:<64 digits>' or 'md5:<32 digits>' as DVC writes it, got {text[:80]!r}")
    return text


def _reference(text: str) -> str:
    if text:
        name, _, version = text.partition("@")
        try:
            check_model_name(name)
            Version.parse(version)
        except InvalidInput as error:
            raise ValueError(f"expected MODEL@MAJOR.MINOR.PATCH, got {text[:80]!r}") from error
    return text


def _tag_name(text: str) -> str:
    if _TAG_NAME.fullmatch(text) is None:
        raise ValueError(f"expected a name of at most 64 letters, digits and ._/-, got {text[:80]!r}")
    return text


def _line(text: str) -> str:
    if any(character < " " or character == "\x7f" or character in _RARE_LINE_ENDS for character in text):
        raise ValueError(f"expected one line without control characters, got {text[:80]!r}")
    return text


def _text(text: str) -> str:
    if "\0" in text:  # databases end texts there
        raise ValueError("expected text without NUL")
    return text


Line = Annotated[str, Field(max_length=512), AfterValidator(_line)]
Text = Annotated[str, Field(max_length=65_536), AfterValidator(_text)]
DataHash = Annotated[str, AfterValidator(_hash)]
Reference = Annotated[str, AfterValidator(_reference)]
TagName = Annotated[str, AfterValidator(_tag_name)]


class Slo(Section):
    """What callers were promised; shown on the card, and what a rollout is held against.

    Attributes:
        p99_s: Latency in seconds that 99 of 100 calls stay below.
        error_rate: Share of calls that may fail.
    """

    p99_s: Number | None = Field(default=None, gt=0, le=3600)
    error_rate: Number | None = Field(default=None, ge=0, le=1)


class ServingOptions(ModelOptions):
    """How a registered version is served: what any model may say, and what only a registered one does.

    Attributes:
        slo: What callers were promised.
        fallback: Who answers when this version cannot: MODEL@VERSION or an alias of the same model.
    """

    slo: Slo = Slo()
    fallback: tuple[Line, ...] = Field(default=(), max_length=8)


class VersionFacts(Section):
    """What an author says about one version.

    Attributes:
        description: What the model does, in a sentence or a few.
        intended_use: Whom it is for, and what it is not for.
        framework: What it was trained with, such as "pytorch 2.9".
        metrics: Measured quality by name, such as `accuracy`.
        training_data: What it was trained on, in words.
        training_data_hash: Of that data: "sha256:…", or "md5:…" as a `.dvc` file has it.
        dataset_revision: Of the data's repository.
        code_revision: Of the training code's repository.
        author: Who made it.
        license: Under which it may be used.
        tags: Free text by name; the first ones, later changes are not part of the version.
        parameters: Of the training, such as `learning_rate`.
        quantized_from: The version that it is a quantized form of, MODEL@VERSION.
        trained_from: The version that its training started from, MODEL@VERSION.
        serving: How it is served.
        tolerance: Of its golden requests.
        card: The author's own sections of the model card, markdown.
    """

    description: Text = ""
    intended_use: Text = ""
    framework: Line = ""
    metrics: dict[TagName, Number] = Field(default_factory=dict, max_length=256)
    training_data: Text = ""
    training_data_hash: DataHash = ""
    dataset_revision: Line = ""
    code_revision: Line = ""
    author: Line = ""
    license: Line = ""
    tags: dict[TagName, Line] = Field(default_factory=dict, max_length=MOST_TAGS)
    parameters: dict[TagName, Line] = Field(default_factory=dict, max_length=256)
    quantized_from: Reference = ""
    trained_from: Reference = ""
    serving: ServingOptions = ServingOptions()
    tolerance: Tolerance = Tolerance()
    card: Text = ""

    @model_validator(mode="after")
    def _samples_lie_in_the_bundle(self) -> Self:
        for sample in self.serving.warm_up:
            for described in sample.inputs.values():
                if described.file is not None:
                    try:
                        check_artifact_path(described.file.as_posix())
                    except InvalidInput as error:
                        raise ValueError(f"serving.warm_up: {error.message}") from error
        return self


def parse_version_facts(text: str) -> VersionFacts:
    """Read the YAML of one version; "" stands for nothing said, as does a key without a value.

    Texts are taken as written: `code_revision: 0123456` keeps its zero. A large document takes a second: in a thread.

    Raises:
        ConfigError: it is no YAML, or says what cannot be meant; all such things at once.
    """
    document = read_yaml(text, longest_bytes=LONGEST_FACTS_BYTES)
    if document is None:
        return VersionFacts()
    if not isinstance(document, dict):
        raise ConfigError([f"expected keys with values, got {'a list' if isinstance(document, list) else 'text'}"])
    try:
        return VersionFacts.model_validate(_said(document))
    except ValidationError as error:
        raise ConfigError(sentences(error, VersionFacts, lambda _key: "", most=_MOST_PROBLEMS)) from error


def dump_version_facts(facts: VersionFacts) -> str:
    """The YAML that `parse_version_facts` reads as `facts`; what has its default value is left out."""
    said = facts.model_dump(mode="json", exclude_defaults=True)
    return yaml.dump(said, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120) if said else ""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # C writes four times faster
    """Writes texts of several lines as such, and nothing by reference."""

    def ignore_aliases(self, _data: object) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # Rarer line ends would be written as ordinary ones, if they were not written as escapes.
        style = '"' if any(end in text for end in _RARE_LINE_ENDS) else "|" if "\n" in text else None
        node: yaml.ScalarNode = self.represent_scalar("tag:yaml.org,2002:str", text, style=style)
        return node


_Dumper.add_representer(str, _Dumper.represent_text)


def _said(value: object) -> object:
    """`value` without the keys that have no value."""
    if isinstance(value, dict):
        return {key: _said(part) for key, part in value.items() if part is not None}
    return [_said(part) for part in value] if isinstance(value, list) else value
