"""`infer` of Triton's Python clients: every type, every option, every refusal."""

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.end_to_end.clients.calls import busy, floats, status_of, tensor
from tests.support.models import tabular_weights

X = np.arange(24, dtype=np.float32).reshape(3, 8)
WEIGHTS, BIAS = tabular_weights()
Y = X @ WEIGHTS + BIAS
ALL_TYPES = [
    ("BOOL", np.array([[True, False], [False, True]])),
    ("UINT8", np.array([[0, 255], [1, 2]], np.uint8)),
    ("UINT16", np.array([[0, 65535], [1, 2]], np.uint16)),
    ("UINT32", np.array([[0, 2**32 - 1], [1, 2]], np.uint32)),
    ("UINT64", np.array([[0, 2**64 - 1], [1, 2]], np.uint64)),
    ("INT8", np.array([[-128, 127], [1, 2]], np.int8)),
    ("INT16", np.array([[-32768, 32767], [1, 2]], np.int16)),
    ("INT32", np.array([[-(2**31), 2**31 - 1], [1, 2]], np.int32)),
    ("INT64", np.array([[-(2**63), 2**63 - 1], [1, 2]], np.int64)),
    ("FP16", np.array([[np.inf, -0.5], [1, np.nan]], np.float16)),
    ("BF16", np.array([[np.inf, -0.5], [1, 2]], ml_dtypes.bfloat16)),
    ("FP32", np.array([[np.inf, -0.5], [1e-38, np.nan]], np.float32)),
    ("FP64", np.array([[np.inf, -0.5], [1e-308, np.nan]], np.float64)),
    ("BYTES", np.array([[b"", "größe".encode()], [b"a b", b"c\nd"]], np.object_)),
]


@pytest.mark.parametrize(("datatype", "array"), ALL_TYPES, ids=[name for name, _ in ALL_TYPES])
async def test_each_datatype_comes_back_bit_for_bit(client, datatype, array):
    """Through an identity model; the reply has one raw entry for its one output."""
    answer = await client.infer(f"identity-{datatype.lower()}", [tensor("x", array, datatype)])
    response = answer.get_response()
    assert [(each.name, each.datatype, list(each.shape)) for each in response.outputs] == [("y", datatype, [2, 2])]
    assert len(response.raw_output_contents) == 1
    got = answer.as_numpy("y")
    assert got.dtype == array.dtype
    assert got.tolist() == array.tolist() if datatype == "BYTES" else got.tobytes() == array.tobytes()


@pytest.mark.parametrize(("datatype", "array"), ALL_TYPES, ids=[name for name, _ in ALL_TYPES])
async def test_no_rows_give_no_rows(client, datatype, array):
    """An empty batch is a batch."""
    answer = await client.infer(f"identity-{datatype.lower()}", [tensor("x", array[:0], datatype)])
    assert answer.as_numpy("y").shape == (0, 2)


async def test_an_answer_says_which_model_version_and_call_it_belongs_to(client):
    """The id is echoed; the version is an integer as text, also when the caller named none."""
    answer = (await client.infer("tabular", [tensor("x", X, "FP32")], request_id="call 7")).get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("tabular", "1", "call 7")
    np.testing.assert_allclose(np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(3, 4), Y, rtol=1e-5)


@pytest.mark.parametrize(("asked", "added"), [("", 3), ("1", 1), ("3", 3), ("1.0.0", 1)])
async def test_a_caller_chooses_the_version(client, asked, added):
    """None stands for the newest; whatever it is called, the answer names it by its integer."""
    answer = await client.infer("versions", [floats("x", [10])], model_version=asked)
    assert (answer.as_numpy("y").tolist(), answer.get_response().model_version) == ([[10 + added]], str(added))


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (None, ["sum", "product"]),
        ([], ["sum", "product"]),
        (["product"], ["product"]),
        (["product", "sum"], ["product", "sum"]),
    ],
)
async def test_a_caller_chooses_outputs_and_their_order(client, asked, names):
    """None and an empty list stand for all; there is one raw entry for each output, in the order of the outputs."""
    outputs = asked if asked is None else [triton.InferRequestedOutput(name) for name in asked]
    answer = await client.infer("two", [floats("a", [1, 2]), floats("b", [3, 4])], outputs=outputs)
    response = answer.get_response()
    assert [each.name for each in response.outputs] == names
    assert len(response.raw_output_contents) == len(names)
    expected = {"sum": [[4, 6]], "product": [[3, 8]]}
    assert {name: answer.as_numpy(name).tolist() for name in names} == {name: expected[name] for name in names}


async def test_inputs_may_come_in_any_order_and_optional_ones_not_at_all(client):
    """They go by name."""
    swapped = await client.infer("two", [floats("b", [3, 4]), floats("a", [1, 2])])
    without = await client.infer("optional", [floats("x", [1, 2])])
    given = await client.infer("optional", [floats("x", [1, 2]), tensor("offset", np.ones(1, np.float32), "FP32")])
    assert swapped.as_numpy("sum").tolist() == [[4, 6]]
    assert (without.as_numpy("y").tolist(), given.as_numpy("y").tolist()) == ([[11, 12]], [[2, 3]])


async def test_scores_come_back_as_classes(client):
    """The best of each row as "score:index:label", from the label file of the repository."""
    outputs = [triton.InferRequestedOutput("y", class_count=2)]
    answer = await client.infer("labelled", [floats("x", [0.25, 0.5, 0.125], [3, 1, 2])], outputs=outputs)
    assert answer.as_numpy("y").tolist() == [
        [b"0.500000:1:dog", b"0.250000:0:cat"],
        [b"3.000000:0:cat", b"2.000000:2:bird"],
    ]
    described = answer.get_output("y")
    assert (described.datatype, list(described.shape)) == ("BYTES", [2, 2])


async def test_classes_without_labels_and_more_than_there_are(client):
    """An output without a label file shows the index alone; there are never more classes than scores."""
    outputs = [triton.InferRequestedOutput("y", class_count=9)]
    answer = await client.infer("identity-fp32", [floats("x", [1, 2])], outputs=outputs)
    assert answer.as_numpy("y").tolist() == [[b"2.000000:1", b"1.000000:0"]]


async def test_strings_go_in_and_come_out_beside_another_type(client):
    """BYTES and BOOL of one answer."""
    texts = np.array([["yes", "no"], ["ja ✓", "yes"]], np.object_)
    answer = await client.infer("strings", [tensor("x", texts, "BYTES")])
    assert [[each.decode() for each in row] for row in answer.as_numpy("y")] == texts.tolist()
    assert answer.as_numpy("is_yes").tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_compressed_requests_are_read(client, algorithm):
    """Both of the algorithms that the clients offer."""
    rows = np.repeat(X, 20, axis=0)
    answer = await client.infer("tabular", [tensor("x", rows, "FP32")], compression_algorithm=algorithm)
    np.testing.assert_allclose(answer.as_numpy("y"), np.repeat(Y, 20, axis=0), rtol=1e-5)


async def test_every_option_at_once(client):
    """Parameters of the caller's own, headers, sequence fields, priority and both time limits change no answer."""
    answer = await client.infer(
        "tabular",
        [tensor("x", X, "FP32")],
        model_version="1",
        outputs=[triton.InferRequestedOutput("y")],
        request_id="everything",
        sequence_id=5,
        sequence_start=True,
        sequence_end=True,
        priority=1,
        timeout=5_000_000,
        client_timeout=5,
        headers={"x-tenant": "blue", "authorization": "Basic abc"},
        parameters={"word": "x", "switch": True, "count": 3},
    )
    np.testing.assert_allclose(answer.as_numpy("y"), Y, rtol=1e-5)
    assert answer.get_response().id == "everything"


async def test_a_sequence_may_be_named_by_text(client):
    """Triton takes both; neither means anything to a model without state."""
    answer = await client.infer("tabular", [tensor("x", X, "FP32")], sequence_id="a", sequence_start=True)
    assert answer.as_numpy("y").shape == (3, 4)


async def test_a_call_with_more_rows_than_a_run_takes_is_split_and_joined(client):
    """Triton refuses it; nobody needs that."""
    rows = np.arange(200 * 8, dtype=np.float32).reshape(200, 8)
    answer = await client.infer("tabular", [tensor("x", rows, "FP32")])
    np.testing.assert_allclose(answer.as_numpy("y"), rows @ WEIGHTS + BIAS, rtol=1e-5)


async def test_a_call_of_many_megabytes_arrives(client):
    """Beyond the 4 MiB that gRPC servers take unless they are told."""
    rows = np.arange(2_400_000, dtype=np.float32).reshape(-1, 2)
    answer = await client.infer("identity-fp32", [tensor("x", rows, "FP32")])
    assert answer.as_numpy("y").tobytes() == rows.tobytes()


REFUSED = [
    ("nobody", [floats("x", [1, 2])], {}, "NOT_FOUND", "nobody"),
    ("tabular", [tensor("x", X, "FP32")], {"model_version": "9"}, "NOT_FOUND", "no version '9'"),
    ("broken", [tensor("x", X, "FP32")], {}, "FAILED_PRECONDITION", "broken"),
    ("tabular", [floats("x", [1, 2, 3])], {}, "INVALID_ARGUMENT", "'x'"),
    ("tabular", [tensor("x", X.astype(np.float64), "FP64")], {}, "INVALID_ARGUMENT", "FP64"),
    ("tabular", [floats("z", [0] * 8)], {}, "INVALID_ARGUMENT", "'x'"),
    ("tabular", [tensor("x", X, "FP32"), floats("z", [0])], {}, "INVALID_ARGUMENT", "'z'"),
    ("two", [floats("a", [1, 2])], {}, "INVALID_ARGUMENT", "'b'"),
    ("two", [floats("a", [1, 2]), floats("b", [1, 2], [3, 4])], {}, "INVALID_ARGUMENT", "rows"),
    (
        "tabular",
        [tensor("x", X, "FP32")],
        {"outputs": [triton.InferRequestedOutput("z")]},
        "INVALID_ARGUMENT",
        "'z'",
    ),
    (
        "strings",
        [tensor("x", np.array([["a", "b"]], np.object_), "BYTES")],
        {"outputs": [triton.InferRequestedOutput("y", class_count=1)]},
        "INVALID_ARGUMENT",
        "classification",
    ),
    ("tabular", [tensor("x", X, "FP32")], {"request_id": "x" * 257}, "INVALID_ARGUMENT", "id"),
    ("poison", [floats("x", [666, 0, 0, 0])], {}, "INTERNAL", "model"),
]


@pytest.mark.parametrize(("model", "inputs", "options", "status", "part"), REFUSED)
async def test_a_call_that_cannot_be_answered_ends_with_a_status_and_a_sentence(
    client, model, inputs, options, status, part
):
    """The sentence names what is wrong, and the server answers the next call."""
    code, message = await status_of(client.infer(model, inputs, **options))
    assert (code, part in message) == (f"StatusCode.{status}", True), message
    assert (await client.infer("tabular", [tensor("x", X, "FP32")])).as_numpy("y").shape == (3, 4)


async def test_a_message_beyond_the_limit_is_refused(client):
    """16 MiB unless the operator raises it."""
    rows = np.zeros((2_200_000, 2), np.float32)
    code, _ = await status_of(client.infer("identity-fp32", [tensor("x", rows, "FP32")]))
    assert code == "StatusCode.RESOURCE_EXHAUSTED"


async def test_tensors_in_shared_memory_are_refused(client):
    """Of inputs and of outputs; a server that read nothing would answer nonsense."""
    shared = triton.InferInput("x", [1, 8], "FP32")
    shared.set_shared_memory("region", 32)
    output = triton.InferRequestedOutput("y")
    output.set_shared_memory("region", 16)
    refusals = [
        await status_of(client.infer("tabular", [shared])),
        await status_of(client.infer("tabular", [tensor("x", X, "FP32")], outputs=[output])),
    ]
    sentence = "shared memory is not supported; send the tensor's bytes in the message"
    assert refusals == [
        ("StatusCode.UNIMPLEMENTED", f"UNSUPPORTED: input 'x': {sentence}"),
        ("StatusCode.UNIMPLEMENTED", f"UNSUPPORTED: output 'y': {sentence}"),
    ]


@pytest.mark.parametrize("limit", [{"client_timeout": 0.05}, {"timeout": 50_000}])
async def test_a_call_that_takes_too_long_ends_at_its_limit(client, limit):
    """Whether the client's gRPC deadline says it or the protocol's parameter; the next call is answered."""
    code, _ = await status_of(client.infer("slow", busy(150_000), **limit))
    assert code == "StatusCode.DEADLINE_EXCEEDED"
    assert (await client.infer("slow", busy(1))).as_numpy("y").shape == (1, 128)
