"""Knows how the Python modules beside the .proto files are made.

Run `python protos/generate.py` after a change to a .proto file and commit what it writes. Each `x.proto` gives
`x_pb2.py` (protoc) and `x_pb2.pyi` (mypy-protobuf). There are no `_pb2_grpc` modules: the server registers handlers of
its own, and the client names the method's path.
"""

import argparse
import shutil
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # it ships no types

SOURCE_ROOT = Path(__file__).resolve().parent
PACKAGES = ("serinus_api", "open_inference")
PRIVATE_POOL_PACKAGE = "open_inference"

_DEFAULT_POOL_IMPORT = "from google.protobuf import descriptor_pool as _descriptor_pool\n"
_PRIVATE_POOL_IMPORT = "from open_inference.pool import POOL as _POOL\n"
_DEFAULT_POOL_CALL = "_descriptor_pool.Default()."
_PRIVATE_POOL_CALL = "_POOL."


def generate(out: Path) -> None:
    """Writes all generated modules below `out`, at the paths of their .proto files.

    Raises:
        SystemExit: protoc refused a file; it has said why on standard error.
    """
    protos = sorted(
        str(path.relative_to(SOURCE_ROOT)) for name in PACKAGES for path in (SOURCE_ROOT / name).rglob("*.proto")
    )
    # protoc writes into a scratch folder, so that a refusal leaves `out` as it was.
    with tempfile.TemporaryDirectory() as scratch_name, as_file(files("grpc_tools") / "_proto") as well_known:
        scratch = Path(scratch_name)
        code = protoc.main(
            [
                "protoc",
                f"--proto_path={SOURCE_ROOT}",
                f"--proto_path={well_known}",
                f"--plugin=protoc-gen-mypy={Path(sys.executable).with_name('protoc-gen-mypy')}",
                f"--python_out={scratch}",
                f"--mypy_out=quiet:{scratch}",
                *protos,
            ],
        )
        if code:
            raise SystemExit(code)
        for module in sorted((scratch / PRIVATE_POOL_PACKAGE).rglob("*_pb2.py")):
            _use_private_pool(module)
        shutil.copytree(scratch, out, dirs_exist_ok=True)


def _use_private_pool(module: Path) -> None:
    # tritonclient and kserve register the very same names in the default pool, and a pool refuses a name's second
    # definition: whoever imported second would fail. Our own pool lets all of them live in one process.
    text = module.read_text()
    assert text.count(_DEFAULT_POOL_IMPORT) == 1, f"protoc writes {module.name} differently now; this is a bug"
    assert text.count(_DEFAULT_POOL_CALL) == 1, f"protoc writes {module.name} differently now; this is a bug"
    text = text.replace(_DEFAULT_POOL_IMPORT, _PRIVATE_POOL_IMPORT).replace(_DEFAULT_POOL_CALL, _PRIVATE_POOL_CALL)
    module.write_text(text)


def main() -> None:
    """Generates beside the .proto files, or below `--out`."""
    parser = argparse.ArgumentParser(description="Generate the Python modules of the .proto files.")
    parser.add_argument(
        "--out", type=Path, default=SOURCE_ROOT, help="folder to write below (default: beside the sources)"
    )
    generate(parser.parse_args().out)


if __name__ == "__main__":
    main()
