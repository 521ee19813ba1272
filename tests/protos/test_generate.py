import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("grpc_tools", reason="grpcio-tools comes with the extra `dev`")
pytest.importorskip("mypy_protobuf", reason="mypy-protobuf comes with the extra `dev`")

PROTOS = Path(__file__).parents[2] / "protos"


def generated_modules() -> dict[str, Path]:
    return {str(p.relative_to(PROTOS)): p for p in PROTOS.rglob("*_pb2*") if p.suffix in {".py", ".pyi"}}


def generate(out: Path, hash_seed: str) -> dict[str, bytes]:
    subprocess.run(
        [sys.executable, PROTOS / "generate.py", "--out", out],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        timeout=60,
    )
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_what_is_committed_is_what_the_proto_files_say(tmp_path: Path) -> None:
    """Regenerating changes no byte, adds no module and leaves none over."""
    committed = {name: path.read_bytes() for name, path in generated_modules().items()}

    assert generate(tmp_path, hash_seed="1") == committed


def test_each_proto_file_has_a_module_and_a_stub_and_no_grpc_module() -> None:
    """The set of generated files follows from the set of .proto files."""
    protos = [path.relative_to(PROTOS).with_suffix("") for path in PROTOS.rglob("*.proto")]
    expected = {f"{stem}_pb2{suffix}" for stem in protos for suffix in (".py", ".pyi")}

    assert set(generated_modules()) == expected


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    """No hash order, time or path leaks into the output."""
    assert generate(tmp_path / "a", hash_seed="1") == generate(tmp_path / "b", hash_seed="2")
