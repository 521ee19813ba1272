"""What a supervisor itself acts by: plain values out of the settings.

It lives as long as the server and is to weigh little: what reads settings takes 12 MiB, and its workers do that.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Supervision:
    """Values of JSON; the sections of `Settings` say what each means.

    Attributes:
        grpc: `grpc.host_port`.
        http: `http.host_port`.
        state: The state folder.
        workers: `workers.count`, from 1.
        ready_s: Of `workers`, like the following.
        silent_s: See there.
        backoff_s: See there.
        longest_backoff_s: See there.
        most_deaths: See there.
        death_window_s: See there.
        leave_s: What a worker gets to answer its calls: notice and grace of `drain`.
        load_s: Longest load of one version.
        log_level: `logs.level`.
        log_format: `logs.format`, or what suits who reads standard error.
    """

    grpc: str
    http: str
    state: str
    workers: int
    ready_s: float
    silent_s: float
    backoff_s: float
    longest_backoff_s: float
    most_deaths: int
    death_window_s: float
    leave_s: float
    load_s: float
    log_level: str
    log_format: str
