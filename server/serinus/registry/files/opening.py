"""Which kind of store a place means: a folder, or an object store, whose client is loaded for nobody else."""

from collections.abc import Callable
from pathlib import Path

from serinus.registry.failpoints import Failpoint, pass_by
from serinus.registry.files.blobs import Blobs
from serinus.registry.files.local_blobs import LocalBlobs


def open_blobs(
    place: str,
    *,
    cache: Path,
    orphan_age_s: float,
    reach: Callable[[Failpoint], None] = pass_by,
) -> Blobs:
    """What keeps content at `place`: a folder, or `s3://BUCKET/PREFIX`, `gs://…`, `az://…`, `memory:///`.

    Credentials and addresses come from the environment, as the providers' own tools read them.

    Args:
        place: Where.
        cache: Folder for local copies of what lies elsewhere; not used for a folder.
        orphan_age_s: Seconds after which `ArtifactStore.collect` takes what nobody uses.
        reach: Called at each failpoint.

    Raises:
        ConfigError: there can be no store at `place`.
    """
    if "://" not in place:
        return LocalBlobs(Path(place), reach=reach)
    # Here and not above: the client of object stores takes 4 MiB.
    from serinus.registry.files.remote_blobs import open_remote  # noqa: PLC0415 - see the line above

    return open_remote(place, LocalBlobs(cache, reach=reach), orphan_age_s=orphan_age_s)
