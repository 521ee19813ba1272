"""What is shown of the memory of the process."""

from typing import Protocol


class MemoryPressure(Protocol):
    """How near the process is to its memory limit; may be read from any thread."""

    @property
    def level(self) -> int:
        """0 while nothing is given up because of it, 1 while copies and sheddable calls are, 2 while all new calls."""
        ...

    @property
    def used(self) -> float:
        """Share of the limit that is in use."""
        ...
