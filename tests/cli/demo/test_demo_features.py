"""The demo sees in a file what the model's own package sees in it."""

import io
import sysconfig
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from magika import Magika

from serinus.cli.demo.features import features, read_features
from serinus.cli.demo.files import choose, walk
from serinus.cli.demo.package import find_model, read_model
from serinus.cli.output import CommandFailed


@pytest.fixture(scope="module")
def model():
    """What the demo reads in the package."""
    return find_model()


@pytest.fixture(scope="module")
def magika():
    """The package itself."""
    return Magika()


@pytest.fixture(scope="module")
def scores(model):
    """Runs the model on features: scores by place."""
    session = onnxruntime.InferenceSession(model.onnx, providers=["CPUExecutionProvider"])
    (input_,) = session.get_inputs()
    return lambda tokens: session.run(None, {input_.name: tokens})[0][0]


def _ours(tokens, model, scores):
    if tokens is None:
        return "undefined", None, None
    found = scores(tokens)
    place = int(np.argmax(found))
    score = float(found[place])
    return model.labels[place], pytest.approx(score, abs=1e-5), model.kind(place, score)


def _theirs(result):
    prediction = result.prediction
    label = str(prediction.dl.label)
    return (label, None, None) if label == "undefined" else (label, prediction.score, str(prediction.output.label))


def test_real_files_are_seen_as_the_package_sees_them(model, magika, scores):
    """Label, score and the kind that is shown, for sixty files of many suffixes."""
    files = walk([Path(sysconfig.get_path("stdlib"))], most_entries=50_000)
    samples = choose(files, lambda file: read_features(file, model), wanted=60, most_per_suffix=4)
    assert len(samples) == 60
    assert len({file.suffix for file, _ in samples}) > 5
    for file, tokens in samples:
        assert _ours(tokens, model, scores) == _theirs(magika.identify_path(file)), file


BLOCK = 4096
CONTENTS = {
    "seven bytes": b"1234567",
    "eight bytes": b"12345678",
    "eight bytes between blanks": b" \n\t12345678\r\n \x0b\x0c",
    "seven bytes between blanks": b"   1234567   ",
    "blanks alone": b" " * 5000,
    "blanks for a block, then text": b" " * BLOCK + b"import os\n" * 900,
    "text, then blanks for a block": b"import os\n" * 900 + b"\n" * BLOCK,
    "as long as the beginning": b"x = 1\n" * 170 + b"y = 2",
    "as long as a block": (b"def f(): pass\n" * 400)[:BLOCK],
    "one byte more than a block": (b"def f(): pass\n" * 400)[: BLOCK + 1],
    "longer than two blocks": b"<html><body>" + b"<p>text</p>\n" * 1000 + b"</body></html>",
    "every byte": bytes(range(256)) * 40,
    "zeros": bytes(3000),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_files_at_the_edges_are_seen_as_the_package_sees_them(content, model, magika, scores):
    """Too short for the model here is too short there, and blanks are the same blanks."""
    assert _ours(features(io.BytesIO(content), model), model, scores) == _theirs(magika.identify_bytes(content))


def test_a_short_file_is_padded_between_its_beginning_and_its_end(model):
    """Behind the one, in front of the other; 256 is no byte."""
    tokens = features(io.BytesIO(b"\n abcdefgh \n"), model)
    expected = np.full((1, 2048), 256, np.int32)
    expected[0, :10] = np.frombuffer(b"abcdefgh \n", np.uint8)
    expected[0, -10:] = np.frombuffer(b"\n abcdefgh", np.uint8)
    np.testing.assert_array_equal(tokens, expected)
    assert tokens.dtype == np.int32


def test_a_package_that_is_missing_says_what_to_install():
    """The extra is optional."""
    with pytest.raises(CommandFailed) as failed:
        find_model("no_such_package")
    assert failed.value.sentences == ("the demo needs the package magika: pip install 'serinus[demo]'",)


def test_a_package_of_another_layout_is_a_sentence_too(tmp_path):
    """A future version may move its files."""
    with pytest.raises(CommandFailed) as failed:
        read_model(tmp_path)
    assert failed.value.sentences[0].startswith("the installed magika has another layout than the demo knows")
