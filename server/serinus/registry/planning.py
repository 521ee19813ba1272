"""What is to be registered, checked as far as it can be without its bytes, and against what is registered already."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from serinus.config.errors import ConfigError
from serinus.config.version_facts import VersionFacts, parse_version_facts
from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.errors import AlreadyExists, InvalidInput
from serinus.core.selector import check_alias
from serinus.core.version import Version, check_model_name
from serinus.registry.files.bundle import BundleLimits, check_bundle
from serinus.registry.records import Draft, Examination, ModelRecord, Registered, VersionRecord
from serinus.registry.sql.writing import check_actor
from serinus.registry.versioning.compatibility import check_version, refuse_too_small


class Upload(Protocol):
    """What a caller says before it sends the bytes of a version."""

    @property
    def model(self) -> str:
        """Name."""

    @property
    def version(self) -> str:
        """Semantic."""

    @property
    def files(self) -> Sequence[ArtifactFile]:
        """All of the version's, in the order in which they are sent."""

    @property
    def main(self) -> str:
        """Path of the ONNX file; "" for the only one."""

    @property
    def facts_yaml(self) -> str:
        """What the author says."""

    @property
    def goldens(self) -> Sequence[str]:
        """Paths of golden requests."""

    @property
    def is_forced(self) -> bool:
        """Take the version although the change demands a larger one."""

    @property
    def aliases(self) -> Sequence[str]:
        """To be set in the same write."""

    @property
    def expected_revision(self) -> int | None:
        """Of the model, or None."""

    @property
    def actor(self) -> str:
        """Who."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is to be registered.

    Attributes:
        model: Its model's name.
        version: Its semantic version.
        files: Its files, in the order in which they are sent.
        manifest: The same files.
        facts: What its author says.
        goldens: Paths of its golden requests.
        is_forced: Take it although the change demands a larger version.
        aliases: To be set in the same write.
        expected_revision: Of the model, or None.
        actor: Who registers it.
        report: What its quantizer measured.
    """

    model: str
    version: Version
    files: tuple[ArtifactFile, ...]
    manifest: Manifest
    facts: VersionFacts
    goldens: tuple[str, ...]
    is_forced: bool
    aliases: tuple[str, ...]
    expected_revision: int | None
    actor: str
    report: Mapping[str, object]


def plan_upload(upload: Upload, limits: BundleLimits) -> Plan:
    """What the caller means; takes as long as its YAML is.

    Raises:
        InvalidInput: nothing.
        ModelRejected: something that is code.
    """
    try:
        facts = parse_version_facts(upload.facts_yaml)
    except ConfigError as error:
        raise InvalidInput("; ".join(error.problems), reason="INVALID_FACTS", field="facts_yaml") from error
    return Plan(
        model=check_model_name(upload.model),
        version=Version.parse(upload.version),
        files=tuple(upload.files),
        manifest=check_bundle(upload.files, upload.main, upload.goldens, limits),
        facts=facts,
        goldens=tuple(upload.goldens),
        is_forced=upload.is_forced,
        aliases=tuple(map(check_alias, upload.aliases)),
        expected_revision=upload.expected_revision,
        actor=check_actor(upload.actor),
        report={},
    )


def registered(model: ModelRecord | None, plan: Plan) -> Registered | None:
    """The version of the plan as it is registered, or None.

    Raises:
        AlreadyExists: with other bytes or facts.
    """
    if model is None:
        return None
    found = [record for record in model.versions if record.identity.version == plan.version]
    if not found:
        return None
    (record,) = found
    _check_same(record, plan)
    return Registered(record, is_new=False, revision=model.revision)


def _check_same(record: VersionRecord, plan: Plan) -> None:
    other = "files" if record.manifest.digest != plan.manifest.digest else "facts" if record.facts != plan.facts else ""
    if other:
        raise AlreadyExists(
            f"{record.identity} is registered with other {other}: a version never changes, choose another number",
            field="version",
        )


def draft(model: ModelRecord | None, plan: Plan, examination: Examination) -> Draft:
    """What the registry is given, compared with the versions of `model`.

    Raises:
        Refused: the version is too small for what it changes, and nobody insists on it (VERSION_TOO_SMALL).
    """
    check = check_version(model, plan.version, examination.signature)
    if not plan.is_forced:
        refuse_too_small(check)
    return Draft(
        model=plan.model,
        version=plan.version,
        manifest=plan.manifest,
        facts=plan.facts,
        examination=examination,
        change=check.level,
        is_forced=check.required is not None,
        report=plan.report,
    )
