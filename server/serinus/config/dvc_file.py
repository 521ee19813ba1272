"""Reads the hash of data from the `.dvc` file that stands beside it."""

from pathlib import Path

from serinus.config.confined import read_text
from serinus.config.errors import ConfigError
from serinus.config.version_facts import VersionFacts
from serinus.config.yaml_text import read_yaml
from serinus.core.errors import ModelRejected

_LONGEST_BYTES = 1 << 20


def training_data_hash_of(path: Path, *, output: str = "") -> str:
    """The hash of data that DVC tracks, as `training_data_hash` takes it: "md5:…", with ".dir" for a folder.

    Args:
        path: The `.dvc` file.
        output: Which of its outputs, by path; "" for the only one.

    Raises:
        ConfigError: it cannot be read, is no `.dvc` file, has several outputs, or no hash of the output.
    """
    try:
        document = read_yaml(read_text(path.parent, path.name), longest_bytes=_LONGEST_BYTES)
    except (ConfigError, ModelRejected) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    outputs = document.get("outs") if isinstance(document, dict) else None
    if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
        raise ConfigError([f"{path}: expected a .dvc file with 'outs'"])
    named = [each for each in outputs if not output or each.get("path") == output]
    if len(named) != 1:
        found = ", ".join(repr(str(each.get("path"))[:128]) for each in outputs[:16]) or "none"
        wanted = f"an output {output[:128]!r}" if output else "one output"
        raise ConfigError([f"{path}: expected {wanted}, got {found}"])
    md5 = named[0].get("md5")
    if not isinstance(md5, str):
        raise ConfigError([f"{path}: expected an md5 of the output {str(named[0].get('path'))[:128]!r}, got none"])
    try:
        return VersionFacts(training_data_hash=f"md5:{md5}").training_data_hash
    except ValueError as error:
        raise ConfigError([f"{path}: expected an md5 of 32 digits, got {md5[:80]!r}"]) from error
