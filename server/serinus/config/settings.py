"""Everything that the operator says to one server: flag before environment before file before default."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import Field, PrivateAttr, ValidationError

from serinus.config.errors import ConfigError
from serinus.config.fields import ModelName, Section
from serinus.config.layers import Layer, Origin, environment_layer, file_layer, flag_layer, merge
from serinus.config.models import ModelSpec, ModelTable
from serinus.config.problems import dotted, sentences
from serinus.config.sections import (
    DEFAULT_STATE,
    ComputeSettings,
    DrainSettings,
    GrpcSettings,
    HttpSettings,
    IntakeSettings,
    LimitSettings,
    LoadingSettings,
    LogSettings,
    OverloadSettings,
    RegistrySettings,
    RolloutSettings,
    WebhookSettings,
    WorkerSettings,
)


class Settings(Section):
    """What one server was told, parsed.

    Attributes:
        grpc: The prediction port.
        http: Metrics and probes.
        compute: What runs may use.
        workers: The processes that serve.
        limits: What callers may take.
        overload: What is given up when not everything can be done.
        drain: How the server goes away.
        logs: What is written.
        registry: What is registered, and which of it is served.
        intake: What a version may use while it is examined.
        loading: How versions come into memory.
        rollouts: How rollouts are judged on this server.
        webhooks: Who is told when a rollout moves.
        models: Models outside any repository, by name.
        model_repository: A folder in Triton's layout, or None.
        state: Where the server keeps what must outlive it.
    """

    grpc: GrpcSettings = GrpcSettings()
    http: HttpSettings = HttpSettings()
    compute: ComputeSettings = ComputeSettings()
    workers: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    overload: OverloadSettings = OverloadSettings()
    drain: DrainSettings = DrainSettings()
    logs: LogSettings = LogSettings()
    registry: RegistrySettings = RegistrySettings()
    intake: IntakeSettings = IntakeSettings()
    loading: LoadingSettings = LoadingSettings()
    rollouts: RolloutSettings = RolloutSettings()
    webhooks: WebhookSettings = WebhookSettings()
    models: dict[ModelName, ModelTable] = Field(default_factory=dict)
    model_repository: Path | None = None
    state: Path = DEFAULT_STATE
    _origins: dict[tuple[str, ...], Origin] = PrivateAttr(default_factory=dict)

    @classmethod
    def from_layers(cls, *layers: Layer) -> Self:
        """Settings from layers, the one that counts least first.

        Raises:
            ConfigError: a value cannot be meant.
        """
        merged = merge(layers)
        try:
            settings = cls.model_validate(merged.values)
        except ValidationError as error:
            raise ConfigError(sentences(error, cls, merged.source)) from error
        origins = {key: layer.origin for key, layer in merged.said_by.items()}
        settings._origins.update(origins)  # noqa: SLF001  # a constructor of this class
        return settings

    def origin(self, key: tuple[str, ...]) -> Origin:
        """Who said the value at `key`."""
        for length in range(len(key), 0, -1):  # a list that was said as a whole says its parts
            if key[:length] in self._origins:
                return self._origins[key[:length]]
        return Origin.DEFAULT

    @property
    def database_url(self) -> str:
        """The registry's database; a password may be part of it."""
        url = self.registry.database
        return f"sqlite:///{self.state / 'registry.db'}" if url is None else url.get_secret_value()

    @property
    def artifacts_place(self) -> str:
        """A folder, or the URL of an object store."""
        return self.registry.artifacts or str(self.state / "artifacts")

    @property
    def model_specs(self) -> tuple[ModelSpec, ...]:
        """The models outside any repository."""
        return tuple(table.spec(name) for name, table in self.models.items())


def load_settings(path: Path | None, *, flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """What the operator says, from everywhere.

    Args:
        path: The configuration file, TOML; its relative paths start at its own folder. None is an empty file.
        flags: Value by dotted key, such as `grpc.host_port`; None stands for a flag that was not given. `models` holds
            a sequence of `ModelSpec`, as `parse_model_flag` makes them.
        environ: The environment; `SERINUS_GRPC__HOST_PORT` is `grpc.host_port`.

    Raises:
        ConfigError: the file cannot be read, or a value cannot be meant; all such values at once.
    """
    file = Layer(Origin.FILE, {}) if path is None else file_layer(path, Settings)
    return Settings.from_layers(file, environment_layer(environ, Settings), flag_layer(flags))


class Effective(NamedTuple):
    """One value that counts.

    Attributes:
        key: As TOML writes it.
        value: Fit for JSON.
        origin: Who said it.
    """

    key: str
    value: object
    origin: Origin


def describe(settings: Settings) -> tuple[Effective, ...]:
    """Every value that counts and who said it, in the order of the sections."""
    return tuple(_effective(settings.model_dump(mode="json"), (), settings))


def _effective(value: object, key: tuple[str, ...], settings: Settings) -> Iterator[Effective]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _effective(part, (*key, str(name)), settings)
    else:
        yield Effective(dotted(key), value, settings.origin(key))
