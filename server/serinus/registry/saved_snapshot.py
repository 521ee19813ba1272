"""The last snapshot on this machine's disk, so that a server can start while the database is down."""

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from serinus.config.errors import ConfigError
from serinus.config.version_facts import VersionFacts, dump_version_facts
from serinus.core.errors import ServerError
from serinus.core.traffic import Traffic
from serinus.core.version import ModelVersion, Version
from serinus.registry.records import ChangeLevel, ModelRecord, Placement, Snapshot, VersionRecord, VersionState
from serinus.registry.sql.audit import canonical_json
from serinus.registry.sql.documents import examination_document, examination_of, manifest_document, manifest_of
from serinus.registry.sql.rows import facts_of
from serinus.registry.sql.traffic_documents import Versions, readable_traffic, traffic_document
from serinus.telemetry.logs import get_logger

_FORMAT: Final = 1

FactsTexts = Mapping[int, tuple[VersionFacts, str]]
"""Facts and their YAML, by the identity of the facts."""

_log = get_logger(__name__)


class SavedSnapshot:
    """A file with one snapshot; its methods block for as long as the disk takes, so that they need a thread.

    Attributes:
        file: Where.
        dump: Writes the facts of a version as YAML, which takes longer than all else; asked once for each version.
    """

    def __init__(self, file: Path, *, dump: Callable[[VersionFacts], str] = dump_version_facts) -> None:
        self._file = file
        self._dump = dump
        # By the identity of facts, which are kept beside their text so that nothing else can have it.
        self._facts: dict[int, tuple[VersionFacts, str]] = {}

    def read(self) -> Snapshot | None:
        """What was saved last, or None if there is nothing or it cannot be read, which the log says."""
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("saved snapshot not read", error=type(error).__name__)
            return None
        try:
            return _snapshot_of(text)
        except (ConfigError, ServerError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            _log.warning("saved snapshot ignored: it cannot be read", error=type(error).__name__)
            return None

    def write(self, snapshot: Snapshot) -> None:
        """Save `snapshot` in place of the one before; a crash leaves either of them whole.

        Raises:
            OSError: the disk takes no more, or is gone; what was saved before is still there.
        """
        text = _text_of(snapshot, self._facts_texts(snapshot))
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Each process has a name of its own: two servers may share a folder.
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}.tmp")
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _facts_texts(self, snapshot: Snapshot) -> FactsTexts:
        facts = {id(each.facts): each.facts for model in snapshot.models.values() for each in model.versions}
        self._facts = {key: self._facts.get(key) or (each, self._dump(each)) for key, each in facts.items()}
        return self._facts


def _text_of(snapshot: Snapshot, texts: FactsTexts) -> bytes:
    body = canonical_json(
        {
            "revision": snapshot.revision,
            "head": snapshot.head,
            "models": [_model_document(model, texts) for _, model in sorted(snapshot.models.items())],
        }
    )
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'{{"format":{_FORMAT},"sha256":"{digest}","body":{body}}}\n'.encode()


def _snapshot_of(text: bytes) -> Snapshot:
    document = json.loads(text)
    if document["format"] != _FORMAT:
        raise ValueError("another format")
    body = document["body"]
    if hashlib.sha256(canonical_json(body).encode()).hexdigest() != document["sha256"]:
        raise ValueError("another hash")
    models = [_model_of(each) for each in body["models"]]
    return Snapshot(
        revision=body["revision"],
        models={model.name: model for model in models},
        head=body["head"],
        is_whole=all(map(_is_whole, body["models"])),
    )


def _model_document(model: ModelRecord, texts: FactsTexts) -> Mapping[str, object]:
    return {
        "name": model.name,
        "versions": [_version_document(each, texts[id(each.facts)][1]) for each in model.versions],
        "aliases": {alias: named.number for alias, named in model.aliases.items()},
        "created_at": model.created_at.isoformat(),
        "revision": model.revision,
        "traffic": traffic_document(model.traffic),
    }


def _model_of(document: Mapping[str, Any]) -> ModelRecord:
    versions = tuple(_version_of(each, document["name"]) for each in document["versions"])
    identities = {each.identity.number: each.identity for each in versions}
    return ModelRecord(
        name=document["name"],
        versions=versions,
        aliases={alias: identities[number] for alias, number in document["aliases"].items()},
        created_at=dt.datetime.fromisoformat(document["created_at"]),
        revision=document["revision"],
        traffic=_traffic_of(document, identities),
    )


def _is_whole(model: Mapping[str, Any]) -> bool:
    # Files of older programs say nothing of traffic.
    return "traffic" in model and not model["traffic"].get("rollout")


def _traffic_of(model: Mapping[str, Any], versions: Versions) -> Traffic:
    """What was decided about the model's calls, without what a rollout has decided.

    A rollout may have failed since; who has not read the registry again must not send its candidate a call.
    """
    traffic = readable_traffic(model["name"], model.get("traffic", {}), versions)
    return dataclasses.replace(traffic, split=None, kept=(), rollout="") if traffic.rollout else traffic


def _version_document(record: VersionRecord, facts: str) -> Mapping[str, object]:
    return {
        **{field.name: getattr(record, field.name) for field in dataclasses.fields(record)},
        "identity": [record.identity.version_text, record.identity.number],
        "manifest": manifest_document(record.manifest),
        "facts": facts,
        "examination": examination_document(record.examination),
        "tags": dict(record.tags),
        "report": dict(record.report),
        "created_at": record.created_at.isoformat(),
    }


def _version_of(document: Mapping[str, Any], model: str) -> VersionRecord:
    version, number = document["identity"]
    return VersionRecord(
        **{
            **document,
            "identity": ModelVersion(model, Version.parse(version), number),
            "manifest": manifest_of(document["manifest"]),
            "facts": facts_of(document["facts"]),
            "examination": examination_of(document["examination"]),
            "change": ChangeLevel(document["change"]),
            "state": VersionState(document["state"]),
            "placement": Placement(document["placement"]),
            "created_at": dt.datetime.fromisoformat(document["created_at"]),
        }
    )
