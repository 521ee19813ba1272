"""The tables of the server's settings, each default with its reason."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from serinus.config.addresses import is_loopback, split_host_port
from serinus.config.fields import MIB, HostPort, Number, Providers, Section, Whole
from serinus.config.stores import ArtifactsUrl, DatabaseUrl

YEAR_S = 31_536_000
DEFAULT_STATE = Path("serinus-state")  # beside whoever starts it: needs no rights elsewhere
_BEATS = 3  # in which a server says that it lives, before it is taken for dead


class ListenSettings(Section):
    """A place to listen."""

    host_port: HostPort

    @property
    def host(self) -> str:
        """The host, without the brackets of an IPv6 address."""
        return split_host_port(self.host_port)[0]

    @property
    def port(self) -> int:
        """The port; 0 stands for any free one."""
        return split_host_port(self.host_port)[1]


class GrpcSettings(ListenSettings):
    """`[grpc]`: the prediction port.

    Attributes:
        host_port: Where to listen.
        allow_insecure: Whether other machines may connect without TLS.
        tls_cert: Certificate chain, PEM.
        tls_key: Its private key, PEM.
        tls_client_ca: Authorities, PEM, that must have signed a client's certificate; None asks clients for none.
        max_message_mib: Longest message received or sent.
        keepalive_time_s: Silence after which the server pings a connection.
        keepalive_timeout_s: Longest wait for the answer to a ping.
        keepalive_permit_without_calls: Whether idle connections are pinged, and may ping.
        min_recv_ping_interval_s: Clients that ping more often are turned away.
        max_connection_age_s: Connections are asked to end after this; 0 stands for never.
        max_connection_age_jitter: The age is drawn once for each server from this share around it.
        max_connection_age_grace_s: How long the calls of a connection that must end may go on.
        max_connection_idle_s: Connections without a call end after this; 0 stands for never.
        handshake_timeout_s: Connections that are not established by then are dropped.
    """

    host_port: HostPort = "127.0.0.1:8001"  # loopback: nobody else reaches a server that was not configured
    allow_insecure: bool = False  # plaintext on a network must be somebody's decision
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    max_message_mib: Whole = Field(default=16, ge=1, le=2047)  # a photograph fits, a mistake does not
    keepalive_time_s: Number = Field(default=60, ge=1, le=YEAR_S)  # before load balancers forget (350 s)
    keepalive_timeout_s: Number = Field(default=20, ge=1, le=3600)  # a peer with a full uplink still answers
    keepalive_permit_without_calls: bool = True  # clients with pooled, idle channels are not to be cut off
    min_recv_ping_interval_s: Number = Field(default=10, ge=0.1, le=3600)  # the shortest that common clients are set to
    max_connection_age_s: Number = Field(default=1800, ge=0, le=YEAR_S)  # clients find new servers, leaks end
    max_connection_age_jitter: Number = Field(default=0.1, ge=0, le=0.9)  # no cut in step
    max_connection_age_grace_s: Number = Field(default=120, ge=0, le=YEAR_S)  # twice the default budget of a call
    max_connection_idle_s: Number = Field(default=900, ge=0, le=YEAR_S)  # forgotten connections give their memory back
    handshake_timeout_s: Number = Field(default=20, ge=1, le=600)  # who dawdles longer is no client

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.tls_cert is None and self.tls_key is not None:
            raise ValueError("tls_cert: expected a path, because tls_key is given; got nothing")
        if self.tls_cert is not None and self.tls_key is None:
            raise ValueError("tls_key: expected a path, because tls_cert is given; got nothing")
        if self.tls_cert is None and self.tls_client_ca is not None:
            raise ValueError("tls_cert: expected a path, because tls_client_ca is given; got nothing")
        return self

    @model_validator(mode="after")
    def _strangers_need_tls(self) -> Self:
        if not (is_loopback(self.host) or self.tls_cert or self.allow_insecure):
            raise ValueError(
                "host_port: expected a loopback address, or tls_cert and tls_key, or allow_insecure = true to let "
                f"other machines connect without encryption; got {self.host_port!r}"
            )
        return self

    @property
    def max_message_bytes(self) -> int:
        """Longest message in bytes."""
        return self.max_message_mib * MIB


class HttpSettings(ListenSettings):
    """`[http]`: metrics and probes.

    Attributes:
        host_port: Where to listen.
        allow_insecure: Whether other machines may connect; this port has no TLS.
    """

    host_port: HostPort = "127.0.0.1:8002"  # loopback, as for grpc
    allow_insecure: bool = False  # metrics tell a stranger what is served and how much

    @model_validator(mode="after")
    def _strangers_need_a_decision(self) -> Self:
        if not (is_loopback(self.host) or self.allow_insecure):
            raise ValueError(
                "host_port: expected a loopback address, or allow_insecure = true to let other machines connect "
                f"without encryption; got {self.host_port!r}"
            )
        return self


class ComputeSettings(Section):
    """`[compute]`: what runs may use.

    Attributes:
        threads: Runs at once over all models of one worker; None stands for its share of the CPU quota.
        providers: Execution providers, most wanted first; one that is missing keeps the server from starting.
        hang_s: A run that nobody waits for any more is told to end after this, and the worker is ended after as long
            again.
    """

    threads: Whole | None = Field(default=None, ge=1, le=1024)  # more would only wait for each other
    hang_s: Number = Field(default=10, gt=0, le=3600)  # no run that anybody waits for takes longer unnoticed
    providers: Providers = ("cpu",)  # on every machine


class WorkerSettings(Section):
    """`[workers]`: the processes that serve.

    Attributes:
        count: How many; 0 serves in the process that was started, without a supervisor.
        ready_s: A worker that is not ready after so long is ended and started again.
        silent_s: A worker that answers its supervisor nothing for so long is replaced.
        backoff_s: Wait before a worker is started again that died; doubled each time that it dies again soon.
        longest_backoff_s: The longest such wait.
        most_deaths: A version that was running at more deaths than this within `death_window_s` is quarantined.
        death_window_s: See there.
    """

    count: Whole = Field(default=1, ge=0, le=256)  # each holds all models: more are a decision about memory
    ready_s: Number = Field(default=600, gt=0, le=86_400)  # all models load in it, twice the limit of one
    silent_s: Number = Field(default=30, ge=1, le=3600)  # a machine that swaps is slow; a loop that stands stays so
    backoff_s: Number = Field(default=0.1, gt=0, le=60)  # a first death may be an accident: callers wait
    longest_backoff_s: Number = Field(default=30, gt=0, le=3600)
    most_deaths: Whole = Field(default=3, ge=1, le=1000)
    death_window_s: Number = Field(default=60, gt=0, le=86_400)


class OverloadSettings(Section):
    """`[overload]`: what is given up when not everything can be done.

    Attributes:
        stood_s: A queue that has not been empty for so long has stood: then the newest calls without a deadline go
            first, because those who wait longest are the likeliest to have given up.
        memory_high: Share of the memory limit above which mirrors and samples are dropped.
        memory_full: Share above which new calls are refused.
    """

    stood_s: Number = Field(default=0.5, gt=0, le=3600)  # longer than any burst that a server should just absorb
    memory_high: Number = Field(default=0.9, gt=0, le=1)
    memory_full: Number = Field(default=0.95, gt=0, le=1)  # what is left holds the answers under way

    @model_validator(mode="after")
    def _high_comes_before_full(self) -> Self:
        if self.memory_high > self.memory_full:
            raise ValueError(
                f"memory_high: expected at most memory_full = {self.memory_full:g}, got {self.memory_high:g}"
            )
        return self


class LimitSettings(Section):
    """`[limits]`: what callers may take.

    Attributes:
        max_bytes_in_flight_mib: Memory that accepted calls may occupy together, over all workers: each may hold its
            share, or two of the largest messages where that is more.
        default_budget_s: Deadline of a call that has none.
        max_deadline_s: Longer deadlines are shortened to this.
        max_inputs: Inputs of one call.
    """

    max_bytes_in_flight_mib: Whole = Field(default=512, ge=1, le=1 << 20)  # 32 of the largest default messages
    default_budget_s: Number = Field(default=60, gt=0, le=86_400)  # longer than any run that a caller forgot to bound
    max_deadline_s: Number = Field(default=3600, gt=0, le=86_400)  # callers that say "a century" mean "I do not know"
    max_inputs: Whole = Field(default=64, ge=1, le=65_536)  # no known model has more

    @model_validator(mode="after")
    def _budget_fits_deadline(self) -> Self:
        if self.default_budget_s > self.max_deadline_s:
            raise ValueError(
                f"default_budget_s: expected at most max_deadline_s = {self.max_deadline_s:g}, "
                f"got {self.default_budget_s:g}"
            )
        return self

    def max_bytes_in_flight_each(self, workers: int, largest_message_bytes: int) -> int:
        """What one of so many workers may hold, in bytes.

        A connection stays with one worker, so that a share must bear what one client does; one that cannot bear a
        single message would refuse it for ever.
        """
        total = self.max_bytes_in_flight_mib * MIB
        return min(total, max(total // workers, 2 * largest_message_bytes))


class DrainSettings(Section):
    """`[drain]`: how the server goes away.

    Attributes:
        notice_s: Wait between "not serving" and closing the port, for load balancers to notice.
        grace_s: Longest wait for the calls in flight after that.
    """

    notice_s: Number = Field(default=0, ge=0, le=3600)  # without a load balancer there is nobody to wait for
    grace_s: Number = Field(default=30, ge=0, le=3600)  # what container platforms allow before they kill


class LogSettings(Section):
    """`[logs]`: what is written to standard error.

    Attributes:
        level: The least important line written.
        format: For machines, or for a person at a terminal.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"  # decisions, not requests
    format: Literal["json", "console"] = "json"  # a server's log is read by programs first


class RegistrySettings(Section):
    """`[registry]`: what is registered, and which of it is served.

    Attributes:
        database: URL of the registry's database, `postgresql://…` or `sqlite:///…`; None stands for `registry.db` in
            the state folder.
        artifacts: Where the models' files are kept: a folder, or `s3://…`, `gs://…`, `az://…`; None stands for
            `artifacts` in the state folder.
        mode: "follow" serves what aliases name and what was loaded by hand; "explicit" only what was loaded by hand.
        max_bundle_mib: Most that the files of one version may have together.
        max_uploads: Registrations at once; one more is refused.
        stall_s: An upload that sends nothing for so long is given up.
        orphan_age_s: Files that no version needs are deleted when they are older.
    """

    database: DatabaseUrl | None = None
    artifacts: ArtifactsUrl | None = None
    mode: Literal["follow", "explicit"] = "follow"  # an alias that is moved should need no second command
    max_bundle_mib: Whole = Field(
        default=8192, ge=1, le=1 << 20
    )  # larger ones are no models for this server's machines
    max_uploads: Whole = Field(default=4, ge=1, le=64)  # each may write as fast as the disk
    stall_s: Number = Field(default=60, ge=1, le=3600)  # as long as a connection may be silent before it is pinged
    orphan_age_s: Number = Field(default=86_400, ge=60, le=YEAR_S)  # an upload cut off today is resumed today


class RolloutSettings(Section):
    """`[rollouts]`: how rollouts are judged on this server.

    Attributes:
        interval_s: How often counts are published, and the judge looks.
        lost_after_s: A server that has published nothing for so long is taken for dead.
        mirror_mib: Memory that copies of calls may take in each worker which wait for a mirrored version.
        breaker_failures: So many failures of a version in a row take it out on this server.
        breaker_open_s: For how long, before a probe is let through; doubled each time that it fails.
    """

    interval_s: Number = Field(default=1, ge=0.05, le=60)  # a write to the database each; nobody looks more often
    lost_after_s: Number = Field(default=10, ge=1, le=3600)  # a stalled disk is no death
    mirror_mib: Whole = Field(default=64, ge=1, le=1 << 20)  # four of the largest default messages
    breaker_failures: Whole = Field(default=5, ge=1, le=10_000)  # five in a row are no chance at 1 in 10 errors
    breaker_open_s: Number = Field(default=5, gt=0, le=3600)  # long enough for a restart, short enough for a person

    @model_validator(mode="after")
    def _the_living_are_heard_in_time(self) -> Self:
        if _BEATS * self.interval_s > self.lost_after_s:
            raise ValueError(
                f"interval_s: expected at most a third of lost_after_s = {self.lost_after_s:g}, got {self.interval_s:g}"
            )
        return self


class WebhookSettings(Section):
    """`[webhooks]`: who is told when a rollout moves.

    Attributes:
        urls: Each is sent every change of state; https, or http to this machine for tests.
        hosts: Hosts that `urls` may name; nothing is ever sent elsewhere, and redirects are not followed.
        secret_file: Signs what is sent (HMAC-SHA256); None sends it unsigned.
        timeout_s: Longest wait for an answer.
        give_up_s: A message that could not be delivered for so long is dropped, which the log says.
    """

    urls: tuple[str, ...] = Field(default=(), max_length=16)
    hosts: tuple[str, ...] = Field(default=(), max_length=64)
    secret_file: Path | None = None
    timeout_s: Number = Field(default=10, gt=0, le=300)
    give_up_s: Number = Field(default=86_400, ge=1, le=YEAR_S)  # a receiver that is down over night hears it all


class IntakeSettings(Section):
    """`[intake]`: what a version may use while it is examined, before it is accepted.

    Attributes:
        memory_mib: Most memory of the process that loads it; None stands for four times its files and 4 GiB.
        timeout_s: Longest time of that process.
    """

    memory_mib: Whole | None = Field(default=None, ge=256, le=1 << 20)
    timeout_s: Number = Field(default=120, gt=0, le=86_400)  # gigabytes load in less


class LoadingSettings(Section):
    """`[loading]`: how versions come into memory.

    Attributes:
        parallel: Loads at once in each worker; all load at the same time, on their own processors.
        timeout_s: A load that takes longer is given up.
        max_models_mib: Memory that loaded versions may take together, over all workers, each of which loads all of
            them; then the least recently used ones are unloaded. None stands for no bound.
    """

    parallel: Whole = Field(default=1, ge=1, le=64)  # a load takes a core; the others are for calls
    timeout_s: Number = Field(default=300, gt=0, le=86_400)  # what serves meanwhile goes on: there is time
    max_models_mib: Whole | None = Field(default=None, ge=1, le=1 << 24)

    def max_models_bytes_each(self, workers: int) -> int | None:
        """What one of so many workers may take, in bytes."""
        return None if self.max_models_mib is None else self.max_models_mib * MIB // workers
