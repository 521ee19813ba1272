"""What a registered version consists of."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.artifact import ArtifactFile, Manifest, check_artifact_path, check_sha256
from serinus.core.errors import InvalidInput

A, B = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()


def file(path: str, sha256: str = A, size_bytes: int = 1) -> ArtifactFile:
    return ArtifactFile(path, sha256, size_bytes)


def test_a_hash_is_64_lower_case_hexadecimal_digits():
    """It is returned as it came."""
    assert check_sha256(A) == A


@pytest.mark.parametrize("text", ["", A[:-1], A + "0", A.upper(), A[:-1] + "g", A[:-1] + "\n", " " + A[1:], "x" * 9999])
def test_everything_else_is_no_hash(text: str):
    """One content has one name."""
    with pytest.raises(InvalidInput) as refused:
        check_sha256(text)
    assert (refused.value.reason, refused.value.field) == ("INVALID_HASH", "sha256")
    assert refused.value.message == f"expected a sha256 of 64 lower-case hexadecimal digits, got {text[:80]!r}"


@pytest.mark.parametrize(
    "path",
    ["model.onnx", "a/b/c", "weights/layer-1.bin", "x", "_a", "0", "a..b", "a+b", "A" * 128, "/".join(["a" * 100] * 5),
     "4fe046b2-e602-11f1-93be-02fc00000001.data"],
)  # fmt: skip
def test_a_path_is_plain_names(path: str):
    """It is returned as it came."""
    assert check_artifact_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "../x", "a/../b", "a/..", "/a", "a/", "a//b", "./a", ".hidden", "a/.git/b", "a\\b", "..\\x", "C:x",
     "a b", "a\0b", "a\n", "ä", "-rf", "~/x", "$HOME", "a:b", "A" * 129, "/".join(["a" * 100] * 6), "con?", "a*"],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_on_any_system_is_refused(path: str):
    """Upwards, absolute, hidden, or with what a shell or another system would read otherwise."""
    with pytest.raises(InvalidInput) as refused:
        check_artifact_path(path)
    assert (refused.value.reason, refused.value.field) == ("INVALID_PATH", "path")
    assert refused.value.message == (
        f"invalid path {path[:80]!r} in a bundle: expected names of letters, digits and ._+- with '/' between them"
    )


def test_a_manifest_finds_its_files():
    """By path, and says how large they are together."""
    model, weights = file("model.onnx", A, 3), file("a/weights.bin", B, 5)
    manifest = Manifest("model.onnx", (weights, model))
    assert manifest.size_bytes == 8
    assert manifest.file == {"model.onnx": model, "a/weights.bin": weights}


def test_the_digest_is_the_one_that_was_written_down():
    """Registered versions keep it for ever, so it must never be computed in another way."""
    manifest = Manifest("model.onnx", (ArtifactFile("a/w", B, 9), ArtifactFile("model.onnx", A, 1)))
    document = f'{{"files":{{"a/w":"{B}","model.onnx":"{A}"}},"main":"model.onnx"}}'
    assert manifest.digest == hashlib.sha256(document.encode()).hexdigest()


@given(st.lists(st.sampled_from("abcd"), min_size=1, unique=True), st.data())
def test_two_manifests_have_one_digest_exactly_when_they_are_the_same_bytes(paths: list[str], data: st.DataObject):
    """Names, contents and which file is the model all count; sizes follow from the contents."""
    contents = {path: data.draw(st.sampled_from([A, B])) for path in paths}
    manifests = {}
    for main, turned in itertools.product(paths, [None, *paths]):
        files = [file(path, {A: B, B: A}[sha] if path == turned else sha) for path, sha in contents.items()]
        manifests[main, turned] = Manifest(main, tuple(files)).digest
    assert len(set(manifests.values())) == len(manifests)
