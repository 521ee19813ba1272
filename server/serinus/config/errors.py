"""The one error of this package: what an operator wrote that cannot be meant."""

from collections.abc import Iterable


class ConfigError(ValueError):
    """A configuration that cannot be used, for the operator who wrote it.

    Attributes:
        problems: One sentence each: the key, what was expected, what was given, and where from.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
