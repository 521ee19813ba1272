"""What a command line says about a version."""

import json

import pytest

from serinus.cli.models.facts import Said, facts_yaml
from serinus.cli.output import CommandFailed
from serinus.config.version_facts import parse_version_facts


def test_a_file_alone_passes_as_it_is(tmp_path):
    """Comments and all."""
    file = tmp_path / "facts.yaml"
    file.write_text("# mine\nframework: pytorch 2.9\n")
    assert facts_yaml(file, Said()) == file.read_text()
    assert facts_yaml(None, Said()) == ""


def test_flags_add_to_the_file_and_replace_parts_of_it(tmp_path):
    """Tables are joined by name, and every value stays as it was written."""
    file, card, dvc = tmp_path / "facts.yaml", tmp_path / "card.md", tmp_path / "data.dvc"
    file.write_text("framework: a\ncode_revision: 0123456\nmetrics: {accuracy: 0.90, loss: 1e-3}\ntags:\n")
    card.write_text("# Ours\n")
    dvc.write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\n")
    said = Said({"accuracy": "0.93"}, {"team": "vision"}, "b", "ann", str(dvc), card)
    text = facts_yaml(file, said)
    assert json.loads(text) == {
        "framework": "b",
        "code_revision": "0123456",
        "metrics": {"accuracy": "0.93", "loss": "1e-3"},
        "tags": {"team": "vision"},
        "author": "ann",
        "training_data_hash": "md5:0123456789abcdef0123456789abcdef.dir",
        "card": "# Ours\n",
    }
    facts = parse_version_facts(text)
    assert (facts.metrics, facts.code_revision) == ({"accuracy": 0.93, "loss": 0.001}, "0123456")


@pytest.mark.parametrize(
    ("text", "said", "sentence"),
    [
        ("frame: x", Said(), "facts.yaml: "),
        ("- a", Said(framework="x"), "facts.yaml: "),
        ("a: [", Said(), "facts.yaml: "),
        ("", Said({"accuracy": "good"}), "facts.yaml: metrics.accuracy"),
        ("", Said(training_data_hash="abc"), "facts.yaml: training_data_hash"),
        ("", Said(training_data_hash="gone.dvc"), "--training-data-hash: "),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(tmp_path, text, said, sentence):
    """With the file, or the flag."""
    file = tmp_path / "facts.yaml"
    file.write_text(text)
    with pytest.raises(CommandFailed) as raised:
        facts_yaml(file, said)
    assert raised.value.code == 2
    assert sentence in raised.value.sentences[0]


def test_files_that_cannot_be_read_are_named(tmp_path):
    """As the caller named them."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for file, sentence in ((tmp_path / "gone", "cannot read"), (tmp_path / "binary", "is no UTF-8 text")):
        with pytest.raises(CommandFailed, match=sentence):
            facts_yaml(file, Said())
        with pytest.raises(CommandFailed, match=sentence):
            facts_yaml(None, Said(card=file))
