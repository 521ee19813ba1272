"""Does an errand on the workbench, and tells what went wrong in sentences without paths."""

import re
from typing import assert_never

from serinus.core.errors import ServerError
from serinus.runtime.options import SessionOptions
from serinus.runtime.quantization.agreement import Incomparable
from serinus.runtime.quantization.errands import (
    Answer,
    Build,
    Built,
    Errand,
    Failure,
    Measure,
    Prepare,
    Prepared,
    Timed,
)
from serinus.runtime.quantization.preparing import gather
from serinus.runtime.quantization.recipe_names import RecipeName
from serinus.runtime.quantization.recipes import NotApplicable
from serinus.runtime.quantization.workbench import Workbench, form_path
from serinus.runtime.sandbox import limit_memory

_LONGEST_TEXT = 160
_PATHS = re.compile(r"\S*[/\\]\S*")


def run_errand(errand: Errand) -> Answer:
    """Do it, within the memory that it allows; the limit remains, so this process can do nothing else."""
    limit_memory(errand.memory_bytes)
    try:
        return _run(errand)
    except (NotApplicable, Incomparable) as error:
        return Failure(str(error))
    except ServerError as error:
        return Failure(error.message, error.reason, error.field)
    except MemoryError:
        return Failure(f"it takes more than {errand.memory_bytes >> 20} MiB of memory")
    except Exception as error:  # noqa: BLE001 - the tools' exceptions share no base class, and one is no crash
        return Failure(_told(error))


def _run(errand: Errand) -> Answer:
    options = SessionOptions(
        providers=errand.options.providers or errand.providers,
        intra_op_threads=errand.options.intra_op_threads,
        batching=errand.options.batching.enabled,
        batch_axes=errand.options.batch_axes,
    )
    match errand.work:
        case Prepare(source, ways):
            size_bytes = gather(source, form_path(errand.folder, RecipeName.FLOAT))
            bench = Workbench(errand.folder, options, None)
            return Prepared(size_bytes, bench.rows, bench.prepare(ways))
        case Build(recipe, bounds, budget_s, rows):
            return Built(*Workbench(errand.folder, options, rows).build(recipe, bounds, budget_s))
        case Measure(recipes, budget_s, rows):
            return Timed(Workbench(errand.folder, options, rows).measure(recipes, budget_s))
        case _:
            assert_never(errand.work)


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    text = _PATHS.sub("...", lines[0])[:_LONGEST_TEXT]
    return f"the tool that makes it failed: {type(error).__name__}{': ' if text else ''}{text}"
