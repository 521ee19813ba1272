"""Environments of the peers: made on first use and kept under `.venvs`; one each, for their packages do not agree."""

import dataclasses
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / ".venvs"
_MARK = "made-of"
_INSTALL_S = 900.0


class PeerMissing(Exception):
    """A peer cannot be measured here; says why."""


@dataclasses.dataclass(frozen=True)
class Environment:
    """What a peer is made of.

    Attributes:
        name: Its folder.
        packages: As pip takes them; ONNX Runtime comes by itself, in the version that Serinus runs.
    """

    name: str
    packages: tuple[str, ...]

    @property
    def python(self) -> Path:
        """Its interpreter, once it is made."""
        return _FOLDER / self.name / "bin" / "python"

    def make(self) -> None:
        """Make it, unless it is there with just these packages.

        Raises:
            PeerMissing: it cannot be made; what there was of it is removed.
        """
        packages = (*self.packages, f"onnxruntime=={version('onnxruntime')}")
        folder = _FOLDER / self.name
        mark = folder / _MARK
        if mark.exists() and mark.read_text().split() == list(packages):
            return
        print(f"making {folder} with {', '.join(packages)} …", file=sys.stderr, flush=True)
        began = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=_INSTALL_S)
            pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *packages], check=True, timeout=_INSTALL_S, stderr=subprocess.PIPE, text=True)
        except subprocess.SubprocessError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise PeerMissing(f"{self.name} cannot be installed: {_last_line(error)}") from error
        mark.write_text("\n".join(packages))
        print(f"  made in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def _last_line(error: subprocess.SubprocessError) -> str:
    said = (getattr(error, "stderr", None) or str(error)).strip()
    return said.splitlines()[-1] if said else type(error).__name__
