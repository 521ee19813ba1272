"""Real sentences without a download: what the standard library says of itself, as tokens of MiniLM's own vocabulary."""

import ast
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

_SHORTEST, _LONGEST = 8, 128  # tokens, the two that frame a sentence included
_SEED = 5  # any; the same sentences each time


def token_ids(tokenizer: Path, count: int) -> list[list[int]]:
    """So many sentences of 8 to 128 tokens, with lengths as they come."""
    encoder = Tokenizer.from_file(str(tokenizer))
    encoder.no_padding()
    encoder.no_truncation()
    texts = sorted(set(_sentences()))
    np.random.default_rng(_SEED).shuffle(texts)
    found: list[list[int]] = []
    for text in texts:
        ids = encoder.encode(text).ids
        if _SHORTEST <= len(ids) <= _LONGEST:
            found.append(ids)
        if len(found) == count:
            break
    return found


def _sentences() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = re.sub(r"\s+", " ", ast.get_docstring(node) or "")
                yield from re.split(r"(?<=[.!?]) (?=[A-Z])", text)
