"""Loads damaged models, one after the other, and says what became of each: run in a process of its own.

Arguments: the first seed, and how many. One line of output for each: "loaded", or the reason of the refusal.
"""

import random
import sys
from pathlib import Path

from serinus.core.errors import ServerError
from serinus.core.version import ModelVersion, Version
from serinus.runtime.model import load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.pool import ComputePool
from serinus.runtime.sandbox import limit_memory
from serinus.runtime.sources import StagedFolder
from tests.support import models


def mutant(seed: int) -> bytes:
    """A model with some of its bits flipped, or without its end."""
    rng = random.Random(seed)
    content = bytearray(rng.choice([models.tabular(), models.string_model(), models.sequence_model(), models.slow(3)]))
    if rng.random() < 0.2:
        return bytes(content[: rng.randrange(len(content))])
    for _ in range(rng.choice([1, 1, 2, 8])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    limit_memory(1 << 30)
    path = Path("model.onnx")
    for seed in range(first, first + count):
        path.write_bytes(mutant(seed))
        try:
            load_model(
                ModelVersion("m", Version(1), 1), StagedFolder(Path.cwd(), path.name), SessionOptions(warm_up_s=0),
                ComputePool(1),
            )  # fmt: skip
        except ServerError as error:
            sys.stdout.write(f"{error.reason}\n")
        else:
            sys.stdout.write("loaded\n")


if __name__ == "__main__":
    main()
