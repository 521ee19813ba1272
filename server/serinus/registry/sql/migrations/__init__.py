"""How a database of an older program becomes one of this program; alembic reads this folder."""

from pathlib import Path
from typing import Final

HEAD: Final = "0003"
"""The schema that this program writes: the last revision in `versions/`."""

KNOWN: Final = frozenset({"0001", "0002", HEAD})
"""Every revision in `versions/`; what is not among them was made by a newer program."""

FOLDER: Final = Path(__file__).parent
