"""The benchmarks are scripts: their folder is on the path as if one of them were run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
