"""What a look at the whole audit has shown."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes:
        entries: How many were looked at.
        first_broken: Revision of the first that is not as it was written; 0 if all are.
        problem: What is wrong with it, or "".
        head: Hash of the last good one.
        has_expected_head: Whether the hash that was asked for is in the chain; True if none was.
    """

    entries: int
    first_broken: int
    problem: str
    head: str
    has_expected_head: bool

    @property
    def is_whole(self) -> bool:
        """Whether nothing was changed, and nothing that was expected is missing."""
        return not self.first_broken and not self.problem and self.has_expected_head

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        if self.first_broken or self.problem:
            return f"broken at revision {self.first_broken}: {self.problem}"
        if not self.has_expected_head:
            return f"the expected head is not in the chain of {self.entries} writes: some were cut off or replaced"
        return f"whole: {self.entries} writes, head {self.head}"
