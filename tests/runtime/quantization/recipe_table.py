"""Prints the recipe table of a model: `python -m tests.runtime.quantization.recipe_table magika|ocr-classifier`.

Or of any model with `MODEL.onnx=CALIBRATION.npz` in place of a name; recipes may follow. The named ones get rows of
real files.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import numpy as np

from serinus.config.models import ModelOptions
from serinus.runtime.quantization.calibration import read_calibration
from serinus.runtime.quantization.quantizer import QuantizationLimits, Quantizer
from serinus.runtime.quantization.report import QuantizationReport
from tests.support.models import real_model


def file_windows(folder: Path, most_rows: int = 128) -> np.ndarray:
    """Beginnings and ends of real files, one of each kind below `folder`, as magika reads them: INT32 [rows, 2048]."""
    files = sorted(path for path in folder.rglob("*.*") if path.is_file() and path.stat().st_size > 1024)
    contents = [path.read_bytes() for path in list({path.suffix: path for path in files}.values())[:most_rows]]
    return np.array([[*content[:1024], *content[-1024:]] for content in contents], np.int32)


def text_images(rows: int = 64) -> np.ndarray:
    """Lines of text, every other one upside down, as the OCR classifier sees them: FP32 [rows, 3, 48, 192]."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - comes with the OCR package

    words = Path(np.__file__).read_text(encoding="utf-8").split()
    font = ImageFont.load_default(28)
    images = []
    for row in range(rows):
        image = Image.new("RGB", (192, 48), (255 - row % 40, 250, 240))
        ImageDraw.Draw(image).text((4, 6), " ".join(words[3 * row : 3 * row + 3])[:14], (row, 20, 60), font)
        images.append(np.asarray(image.rotate(180) if row % 2 else image, np.float32))
    return np.stack(images).transpose(0, 3, 1, 2) / 127.5 - 1


def model_and_rows(name: str) -> tuple[Path, Mapping[str, np.ndarray]]:
    """The model's file and its calibration data."""
    if name == "magika":
        return real_model(name), {"bytes": file_windows(Path(np.__file__).parents[1])}
    if name == "ocr-classifier":
        return real_model(name), {"x": text_images()}
    model, _, calibration = name.partition("=")
    return Path(model), read_calibration(Path(calibration))


async def measured(name: str, recipes: list[str]) -> QuantizationReport:
    """The report, after its progress was written to standard error."""
    model, rows = await asyncio.to_thread(model_and_rows, name)
    with tempfile.TemporaryDirectory() as folder:
        steps = Quantizer(QuantizationLimits()).quantize(model, ModelOptions(), rows, Path(folder), recipes=recipes)
        async with aclosing(steps) as progress:
            async for step in progress:
                sys.stderr.write(f"{step.done}/{step.total} {step.stage}\n")
    assert step.report is not None
    return step.report


def main() -> None:
    """Measure, and print one line a recipe."""
    report = asyncio.run(measured(sys.argv[1], sys.argv[2:]))
    sys.stdout.write("| recipe | MB | ms, 1 row | best batch | ms | rows/s | argmax | cosine | max diff | accepted |\n")
    for row in report.results:
        sys.stdout.write(
            f"| {row.recipe} | {row.size_bytes / 1e6:.2f} | {row.batch_1_s * 1e3:.2f} | {row.best_batch}"
            f" | {row.best_batch_s * 1e3:.2f} | {row.rows_per_s:.0f} | {row.argmax_agreement:.3f}"
            f" | {row.min_cosine:.4f} | {row.max_absolute_difference:.2g} | {row.accepted} {row.reason} |\n"
        )
    sys.stdout.write(f"{report.sentence}\n")


if __name__ == "__main__":
    main()
