"""The places in a write at which a process may die; tests kill it at each of them."""

import enum


class Failpoint(enum.StrEnum):
    """In the order in which a registration passes them; other writes pass the last three.

    Those that leave no entry in the audit pass TRANSACTION_BEGUN and COMMITTED alone.
    """

    STAGED = "files are staged and checked"
    EXAMINED = "the version was loaded in a child process"
    BLOB_SYNCED = "a file's bytes are on the disk under a temporary name"
    BLOB_RENAMED = "a file has its name"
    FOLDER_SYNCED = "the folder that holds the name is on the disk"
    TRANSACTION_BEGUN = "the transaction is open"
    ROWS_WRITTEN = "the rows and the audit entry are written and not committed"
    COMMITTED = "the transaction is committed and nobody was told"


def pass_by(_point: Failpoint) -> None:
    """What happens at a failpoint outside tests: nothing."""
