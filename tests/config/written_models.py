"""Folders as MLflow and DVC write them, with files that hold no model; made from what the real tools wrote."""

from collections.abc import Sequence
from pathlib import Path

MLFLOW_2 = """\
artifact_path: clf
flavors:
  onnx:
    code: null
    data: model.onnx
    onnx_session_options: null
    onnx_version: 1.23.2
    providers:
    - CUDAExecutionProvider
    - CPUExecutionProvider
  python_function:
    data: model.onnx
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.onnx
    python_version: 3.11.7
is_signature_from_type_hint: false
metadata:
  k: v
mlflow_version: 2.22.5
model_size_bytes: 175
model_uuid: f99e9939a9d9448682f9dc5e18ddffa0
prompts: null
run_id: a5af6d8c5e484634b3535aa9309f2460
signature:
  inputs: '[{"name": "x", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape":
    [-1, 64]}}]'
  outputs: '[{"name": "y", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape":
    [-1, 64]}}]'
  params: '[{"name": "t", "default": 0.5, "shape": null, "type": "double"}]'
type_hint_from_example: false
utc_time_created: '2026-11-21 23:21:19.634666'
"""
MLFLOW_3 = """\
artifact_path: file:///home/ada/mlruns/0/models/m-5793fa01e46244e5966a1816e9ba54b6/artifacts
flavors:
  onnx:
    code: null
    data: model.onnx
    onnx_session_options:
      execution_mode: sequential
      intra_op_num_threads: 2
    onnx_version: 1.23.2
    providers:
    - CPUExecutionProvider
  python_function:
    data: model.onnx
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.onnx
    python_version: 3.11.7
is_signature_from_type_hint: false
metadata:
  description: Tells fraud from honest payments.
  mlflow.source.git.commit: 0123456
  nested:
    a: 1
  team: fraud
mlflow_version: 3.17.2
model_id: m-5793fa01e46244e5966a1816e9ba54b6
model_size_bytes: 16559
model_uuid: m-5793fa01e46244e5966a1816e9ba54b6
prompts: null
run_id: 99efbbea44894427a4b64a0d3db6c582
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
  type: ndarray
signature:
  inputs: '[{"type": "any", "required": true}]'
  outputs: '[{"type": "any", "required": true}]'
  params: null
type_hint_from_example: false
utc_time_created: '2026-11-21 23:21:45.369956'
"""
MLFLOW_1 = """\
artifact_path: onnx-model
flavors:
  onnx:
    data: model.onnx
    onnx_version: 1.9.0
  python_function:
    data: model.onnx
    env: conda.yaml
    loader_module: mlflow.onnx
    python_version: 3.7.10
run_id: 2cd9d6bf7a4c4fa3a6aa3c5a8a0f1d63
utc_time_created: '2021-06-01 08:00:00.000000'
"""
SKLEARN = """\
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    model_path: model.pkl
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
mlflow_version: 2.22.5
"""
REGISTERED = "model_name: Fraud Classifier\nmodel_version: '3'\n"
ENVIRONMENT = ("conda.yaml", "python_env.yaml", "requirements.txt")


def write_mlflow(
    folder: Path, mlmodel: str, *, files: Sequence[str] = (), registered: str = "", weights: str = ""
) -> Path:
    """A folder with `MLmodel`, an ONNX file that names its `weights`, what describes its environment, and `files`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(mlmodel, encoding="utf-8")
    write_onnx(folder / "model.onnx", weights)
    for name in (*ENVIRONMENT, *files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("not read", encoding="utf-8")
    if registered:
        (folder / "registered_model_meta").write_text(registered, encoding="utf-8")
    return folder


def write_onnx(file: Path, weights: str = "") -> None:
    """A file for `written_locations`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(weights, encoding="utf-8")


def written_locations(file: Path) -> Sequence[str]:
    """Where the weights of a file of `write_onnx` are: its words."""
    return file.read_text(encoding="utf-8").split()
