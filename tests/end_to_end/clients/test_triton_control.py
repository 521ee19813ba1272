"""The control calls of Triton's Python clients: what is served, how it is set up, loading and unloading."""

import json

import numpy as np
import pytest

from serinus.core.dtypes import DType
from tests.end_to_end.clients.calls import floats, status_of
from tests.support import models


async def test_a_running_server_is_live_and_ready(client):
    """Both questions, with headers and a time limit as clients send them."""
    assert await client.is_server_live(headers={"x-request": "1"}) is True
    assert await client.is_server_ready(client_timeout=5) is True


@pytest.mark.parametrize(
    ("model", "version", "ready"),
    [
        ("tabular", "", True),
        ("tabular", "1", True),
        ("tabular", "2", False),
        ("versions", "2", False),
        ("broken", "", False),
        ("nobody", "", False),
    ],
)
async def test_a_model_is_ready_exactly_when_it_serves(client, model, version, ready):
    """Unknown names and versions are not ready; they are no error."""
    assert await client.is_model_ready(model, version) is ready


async def test_the_server_announces_what_is_built(client):
    """Clients switch on extensions, so shared memory, sequences and tracing are absent."""
    metadata = await client.get_server_metadata(as_json=True)
    assert (metadata["name"], metadata["extensions"]) == (
        "serinus",
        [
            "classification",
            "model_repository",
            "schedule_policy",
            "model_configuration",
            "binary_tensor_data",
            "parameters",
            "statistics",
            "logging",
        ],
    )


async def test_metadata_shows_the_batch_axis_and_integer_versions(client):
    """Shapes start with -1; the versions are those that the policy of the repository names."""
    assert await client.get_model_metadata("versions", as_json=True) == {
        "name": "versions",
        "versions": ["1", "3"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": ["-1", "1"]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": ["-1", "1"]}],
    }


async def test_the_configuration_is_the_one_of_the_repository(client):
    """What `config.pbtxt` says comes back in Triton's own messages."""
    assert await client.get_model_config("tabular", as_json=True) == {
        "config": {
            "name": "tabular",
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "max_batch_size": 64,
            "default_model_filename": "model.onnx",
            "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["8"]}],
            "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["4"]}],
            "dynamic_batching": {
                "preferred_batch_size": [8, 32],
                "max_queue_delay_microseconds": "100",
                "priority_levels": "3",
                "default_priority_level": "2",
            },
            "model_transaction_policy": {},
            "parameters": {"owner": {"string_value": "the tests"}},
        }
    }


async def test_an_input_with_a_default_is_optional(client):
    """perf_analyzer leaves optional inputs out."""
    config = (await client.get_model_config("optional")).config
    assert [(each.name, each.optional) for each in config.input] == [("x", False), ("offset", True)]


async def test_a_scalar_input_and_no_batch_axis_are_shown_as_they_are(client):
    """`max_batch_size` 0 leaves shapes alone."""
    config = (await client.get_model_config("slow", "1")).config
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
    assert [(each.name, list(each.dims)) for each in config.input] == [("x", [-1, 128]), ("trips", [])]


@pytest.mark.parametrize("method", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
@pytest.mark.parametrize(
    ("model", "version", "status"),
    [
        ("nobody", "", "StatusCode.NOT_FOUND"),
        ("tabular", "7", "StatusCode.NOT_FOUND"),
        ("broken", "", "StatusCode.FAILED_PRECONDITION"),
    ],
)
async def test_asking_about_a_model_that_does_not_serve_names_it(client, method, model, version, status):
    """The status and a sentence, for each question about a model."""
    code, message = await status_of(getattr(client, method)(model, version))
    assert (code, model in message) == (status, True)


async def test_statistics_of_one_version_of_a_model_and_of_everything(client):
    """Each serving version is one entry."""
    versions = [
        [(each.name, each.version) for each in (await client.get_inference_statistics(*asked)).model_stats]
        for asked in (("versions", "1"), ("versions",))
    ]
    assert versions == [[("versions", "1")], [("versions", "3"), ("versions", "1")]]
    everything = {each.name for each in (await client.get_inference_statistics()).model_stats}
    assert {"tabular", "versions", "strings", "slow"} <= everything


async def test_the_index_names_every_model_with_its_state_and_reason(client):
    """A model that cannot be read is in the index with the reason, and without a path."""
    index = {each.name: each for each in (await client.get_model_repository_index()).models}
    assert (index["tabular"].version, index["tabular"].state, index["tabular"].reason) == ("1", "READY", "")
    assert (index["broken"].state, index["broken"].reason) == (
        "UNAVAILABLE",
        "the model file 'model.onnx' of 16 bytes is not an ONNX model, or is damaged",
    )


async def test_a_model_is_unloaded_and_loaded_again(client):
    """Between the two it is known and refuses calls; afterwards it answers as before."""
    await client.unload_model("reloaded", unload_dependents=True)
    assert await client.is_model_ready("reloaded") is False
    code, _ = await status_of(client.infer("reloaded", [floats("x", [1, 2])]))
    index = {each.name: (each.state, each.reason) for each in (await client.get_model_repository_index()).models}
    assert (code, index["reloaded"]) == ("StatusCode.FAILED_PRECONDITION", ("UNAVAILABLE", "unloaded"))

    await client.load_model("reloaded")

    assert await client.is_model_ready("reloaded") is True
    answer = await client.infer("reloaded", [floats("x", [1, 2])])
    np.testing.assert_array_equal(answer.as_numpy("y"), [[1, 2]])


async def test_a_model_is_loaded_with_another_configuration(client):
    """The JSON counts in place of `config.pbtxt`, until the model is loaded without one."""
    await client.load_model("reloaded", config=json.dumps({"max_batch_size": 3, "backend": "onnxruntime"}))
    changed = (await client.get_model_config("reloaded")).config.max_batch_size
    await client.load_model("reloaded")
    restored = (await client.get_model_config("reloaded")).config.max_batch_size
    assert (changed, restored) == (3, 4)


async def test_a_model_is_loaded_from_files_that_the_client_sends(client):
    """The model need not be in the repository; its configuration comes along."""
    doubled = models.build(
        [models.helper.make_node("Add", ["x", "x"], ["y"])],
        [models.value("x", DType.FP32, ["N", 2])],
        [models.value("y", DType.FP32, ["N", 2])],
    )
    await client.load_model("sent", config='{"max_batch_size": 2}', files={"file:5/model.onnx": doubled})
    answer = await client.infer("sent", [floats("x", [1, 2])], model_version="5")
    np.testing.assert_array_equal(answer.as_numpy("y"), [[2, 4]])
    assert answer.get_response().model_version == "5"
    await client.unload_model("sent")


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        ({"model_name": "nobody"}, "StatusCode.NOT_FOUND", "nobody"),
        ({"model_name": "../tabular"}, "StatusCode.INVALID_ARGUMENT", "invalid model name"),
        ({"model_name": "broken"}, "StatusCode.FAILED_PRECONDITION", "not an ONNX model"),
        ({"model_name": "reloaded", "config": "{"}, "StatusCode.INVALID_ARGUMENT", "config"),
        ({"model_name": "reloaded", "config": '{"backend": "python"}'}, "StatusCode.FAILED_PRECONDITION", "python"),
        ({"model_name": "new", "files": {"file:1/model.onnx": b"x"}}, "StatusCode.INVALID_ARGUMENT", "config"),
        (
            {"model_name": "new", "config": "{}", "files": {"file:../1/model.onnx": b"x"}},
            "StatusCode.INVALID_ARGUMENT",
            "model.onnx",
        ),
        (
            {"model_name": "new", "config": "{}", "files": {"file:1/model.onnx": b"x"}},
            "StatusCode.FAILED_PRECONDITION",
            "not an ONNX model",
        ),
    ],
)
async def test_a_load_that_cannot_be_meant_is_refused_and_what_serves_goes_on(client, arguments, status, part):
    """Status and sentence; no path of the server's is in it."""
    code, message = await status_of(client.load_model(**arguments))
    assert (code, part in message, "/tmp" in message) == (status, True, False)
    assert await client.is_model_ready("reloaded") is True


async def test_unloading_a_model_that_nobody_knows_is_refused(client):
    """NOT_FOUND, with its name."""
    code, message = await status_of(client.unload_model("nobody"))
    assert (code, "nobody" in message) == ("StatusCode.NOT_FOUND", True)


async def test_log_settings_are_read_and_changed(client):
    """A change is answered with what holds now, and undone for the other tests."""
    before = await client.get_log_settings(as_json=True)
    changed = await client.update_log_settings({"log_verbose_level": 1, "log_info": False}, as_json=True)
    restored = await client.update_log_settings({"log_verbose_level": 0, "log_info": True}, as_json=True)
    assert (
        before
        == restored
        == {
            "settings": {
                "log_file": {"string_param": ""},
                "log_info": {"bool_param": True},
                "log_warning": {"bool_param": True},
                "log_error": {"bool_param": True},
                "log_verbose_level": {"uint32_param": 0},
                "log_format": {"string_param": "default"},
            }
        }
    )
    assert changed["settings"]["log_verbose_level"] == {"uint32_param": 1}
    assert changed["settings"]["log_info"] == {"bool_param": False}


async def test_a_log_file_cannot_be_chosen_by_a_client(client):
    """The command line alone decides where the log goes."""
    code, _ = await status_of(client.update_log_settings({"log_file": "elsewhere"}))
    assert code == "StatusCode.UNIMPLEMENTED"


NOT_BUILT = [
    ("get_trace_settings", ()),
    ("get_trace_settings", ("tabular",)),
    ("update_trace_settings", ("tabular", {"trace_level": ["TIMESTAMPS"], "trace_rate": None})),
    ("get_system_shared_memory_status", ()),
    ("register_system_shared_memory", ("region", "/key", 64)),
    ("unregister_system_shared_memory", ()),
    ("get_cuda_shared_memory_status", ("region",)),
    ("register_cuda_shared_memory", ("region", b"aGFuZGxl", 0, 64)),
    ("unregister_cuda_shared_memory", ("region",)),
]


@pytest.mark.parametrize(("method", "arguments"), NOT_BUILT)
async def test_what_is_not_built_says_so_in_a_sentence(client, method, arguments):
    """UNIMPLEMENTED, and no Python text: what a raised NotImplementedError would send."""
    code, message = await status_of(getattr(client, method)(*arguments))
    sentence = (
        "tracing cannot be set over this protocol"
        if "trace" in method
        else "shared memory is not supported; send the tensors' bytes in the message"
    )
    assert (code, message) == ("StatusCode.UNIMPLEMENTED", f"UNSUPPORTED: {sentence}")
