import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

from serinus.config.errors import ConfigError
from serinus.config.models import BatchingSpec, ModelSpec
from serinus.config.sections import GrpcSettings, LimitSettings, LoadingSettings
from serinus.config.settings import Effective, Settings, describe, load_settings

KEYS = ("grpc.host_port", "limits.max_inputs", "drain.grace_s", "logs.level")


@pytest.fixture
def write(tmp_path):
    """Write a configuration file and return its path."""

    def write_file(text: str) -> Path:
        path = tmp_path / "serinus.toml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write_file


def problems(path=None, *, flags=None, environ=None):
    """The sentences with which a configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        load_settings(path, flags=flags or {}, environ=environ or {})
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def test_without_a_word_from_anybody_the_defaults_count():
    """An empty configuration is a whole one, on loopback."""
    settings = load_settings(None, flags={"grpc.host_port": None, "models": []}, environ={"PATH": "/bin"})
    assert settings == Settings()
    assert (settings.grpc.host, settings.grpc.port, settings.http.host_port) == ("127.0.0.1", 8001, "127.0.0.1:8002")
    assert settings.grpc.max_message_bytes == 16 * 1024 * 1024
    assert settings.limits.max_bytes_in_flight_each(1, settings.grpc.max_message_bytes) == 512 * 1024 * 1024
    assert (settings.compute.threads, settings.compute.providers) == (None, ("cpu",))
    assert settings.model_specs == ()
    assert settings.state == Path("serinus-state")


@pytest.mark.parametrize(
    ("total_mib", "workers", "each_mib"),
    [(512, 4, 128), (512, 16, 32), (512, 64, 32), (20, 1, 20), (20, 4, 20)],
)
def test_memory_for_calls_is_shared_out_among_workers(total_mib: int, workers: int, each_mib: int):
    """Until a share could not hold two of the largest messages, here of 16 MiB; never more than all of it."""
    limits = LimitSettings(max_bytes_in_flight_mib=total_mib)
    assert limits.max_bytes_in_flight_each(workers, 16 << 20) == each_mib << 20


def test_memory_for_models_is_shared_out_among_workers():
    """Each loads all models."""
    assert LoadingSettings(max_models_mib=9).max_models_bytes_each(2) == 9 << 19
    assert LoadingSettings().max_models_bytes_each(2) is None


def test_flags_come_before_environment_before_file_before_default(write):
    """Each origin is heard where no higher one speaks, and `describe` says which it was."""
    path = write("""
        [grpc]
        host_port = "127.0.0.1:1"
        [limits]
        max_inputs = 1
        [drain]
        grace_s = 1
        """)
    environ = {"SERINUS_GRPC__HOST_PORT": "127.0.0.1:2", "SERINUS_LIMITS__MAX_INPUTS": "2"}
    settings = load_settings(path, flags={"grpc.host_port": "127.0.0.1:3", "drain.grace_s": None}, environ=environ)
    assert [effective for effective in describe(settings) if effective.key in KEYS] == [
        Effective("grpc.host_port", "127.0.0.1:3", "flag"),
        Effective("limits.max_inputs", 2, "env"),
        Effective("drain.grace_s", 1.0, "file"),
        Effective("logs.level", "info", "default"),
    ]


def test_the_environment_reaches_lists_models_and_top_level_keys():
    """Commas make lists, and double underscores reach any depth."""
    environ = {
        "SERINUS_COMPUTE__PROVIDERS": "cuda, cpu",
        "SERINUS_GRPC__KEEPALIVE_PERMIT_WITHOUT_CALLS": "false",
        "SERINUS_MODELS__MAGIKA__PATH": "magika.onnx",
        "SERINUS_MODELS__MAGIKA__BATCHING__MAX_ROWS": "8",
        "SERINUS_MODEL_REPOSITORY": "repository",
    }
    settings = load_settings(None, flags={}, environ=environ)
    assert settings.compute.providers == ("cuda", "cpu")
    assert settings.grpc.keepalive_permit_without_calls is False
    assert settings.model_repository == Path("repository")
    assert settings.model_specs == (
        ModelSpec(name="magika", versions={1: Path("magika.onnx")}, batching=BatchingSpec(max_rows=8)),
    )


def test_what_kubernetes_and_clients_set_is_left_alone():
    """Names without a section that are no setting belong to somebody else."""
    environ = {"SERINUS_SERVER": "host:1", "SERINUS_PORT": "tcp://10.0.0.1:8001", "SERINUS_SERVICE_HOST": "10.0.0.1"}
    assert load_settings(None, flags={}, environ=environ) == Settings()


def test_relative_paths_in_a_file_start_at_the_file(write, tmp_path):
    """At any depth, and absolute ones stay."""
    path = write("""
        state = "state"
        model_repository = "/models"
        [grpc]
        tls_cert = "tls/cert.pem"
        tls_key = "tls/key.pem"
        [models.a]
        versions = {1 = "one.onnx", 3 = "/three.onnx"}
        [[models.a.warm_up]]
        name = "real"
        inputs = {x = {dtype = "FP32", dims = [4], fill = "file", file = "x.bin"}}
        """)
    settings = load_settings(path, flags={}, environ={})
    (spec,) = settings.model_specs
    assert (settings.state, settings.model_repository) == (tmp_path / "state", Path("/models"))
    assert (settings.grpc.tls_cert, settings.grpc.tls_key) == (tmp_path / "tls/cert.pem", tmp_path / "tls/key.pem")
    assert spec.versions == {1: tmp_path / "one.onnx", 3: Path("/three.onnx")}
    assert spec.warm_up[0].inputs["x"].file == tmp_path / "x.bin"


def test_a_model_flag_replaces_the_file_and_keeps_its_options(write):
    """`--model` says which file; the table of the same name still says how."""
    path = write("""
        [models.a]
        path = "old.onnx"
        reject_nonfinite = true
        """)
    named = [ModelSpec(name="a", versions={1: Path("/new.onnx")}), ModelSpec(name="b", versions={1: Path("/b.onnx")})]
    settings = load_settings(path, flags={"models": named}, environ={})
    assert settings.model_specs == (
        ModelSpec(name="a", versions={1: Path("/new.onnx")}, reject_nonfinite=True),
        ModelSpec(name="b", versions={1: Path("/b.onnx")}),
    )
    origins = {effective.key: effective.origin for effective in describe(settings)}
    assert origins["models.a.versions.1"] == "flag"
    assert origins["models.a.reject_nonfinite"] == "file"


def test_a_model_named_twice_on_the_command_line_is_refused():
    """Nobody can tell which of the two was meant."""
    spec = ModelSpec(name="a", versions={1: Path("/a.onnx")})
    assert problems(flags={"models": [spec, spec]}) == ["--model: expected each name once, got 'a' twice"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[grpc]\nmax_message_mib = 0", "grpc.max_message_mib: expected a whole number from 1 to 2047, got 0"),
        ("[grpc]\nmax_message_mib = 2048", "grpc.max_message_mib: expected a whole number from 1 to 2047, got 2048"),
        ("[grpc]\nmax_message_mib = 1.5", "grpc.max_message_mib: expected a whole number from 1 to 2047, got 1.5"),
        ("[grpc]\nmax_message_mib = true", "grpc.max_message_mib: expected a whole number from 1 to 2047, got True"),
        ("[grpc]\nallow_insecure = 'maybe'", "grpc.allow_insecure: expected true or false, got 'maybe'"),
        ("[grpc]\ntls_cert = 5", "grpc.tls_cert: expected a path, got 5"),
        (
            "[grpc]\nhost_port = 'x'",
            "grpc.host_port: expected HOST:PORT with a port from 0 to 65535 and an IPv6 host in brackets, got 'x'",
        ),
        ("[compute]\nthreads = 0", "compute.threads: expected a whole number from 1 to 1024, got 0"),
        ("[compute]\nproviders = []", "compute.providers: expected at least one provider, and each once, got []"),
        ("[compute]\nproviders = [1]", "compute.providers[0]: expected text, got 1"),
        (
            "[compute]\nproviders = ['cpu', 'cpu']",
            "compute.providers: expected at least one provider, and each once, got ['cpu', 'cpu']",
        ),
        (
            "[limits]\ndefault_budget_s = 0",
            "limits.default_budget_s: expected a number above 0 and at most 86400, got 0",
        ),
        (
            "[limits]\ndefault_budget_s = nan",
            "limits.default_budget_s: expected a number above 0 and at most 86400, got nan",
        ),
        (
            "[rollouts]\nlost_after_s = 2",
            "rollouts.interval_s: expected at most a third of lost_after_s = 2, got 1",
        ),
        (
            "[limits]\nmax_deadline_s = 30",
            "limits.default_budget_s: expected at most max_deadline_s = 30, got 60",
        ),
        (
            "[logs]\nlevel = 'loud'",
            "logs.level: expected one of 'debug', 'info', 'warning', 'error', got 'loud'",
        ),
        ("drain = 5", "drain: expected a table, got 5"),
        ("models = {a = 5}", "models.a: expected a table, got 5"),
        ("models = {a = {}}", "models.a.path: expected either 'path' or 'versions', got neither"),
        (
            "[models.a]\npath = 'x'\nversions = {1 = 'x'}",
            "models.a.path: expected either 'path' or 'versions', got both",
        ),
        (
            "[models.a]\nversions = {0 = 'x'}",
            "models.a.versions.0: expected a whole number from 1 to 999999999, got '0'",
        ),
        (
            "[models.A]\npath = 'x'",
            "models.A: invalid model name 'A': expected [a-z0-9][a-z0-9._-]{0,127} without '..'",
        ),
        (
            "[models.'a.b']\npath = 'x'\nbatching = {preferred_rows = [300]}",
            'models."a.b".batching.preferred_rows: expected no size above max_rows = 256, got [300]',
        ),
        (
            "[models.a]\npath = 'x'\nbatching = {preferred_rows = [4, 2]}",
            "models.a.batching.preferred_rows: expected ascending sizes, got [4, 2]",
        ),
        (
            "[models.a]\npath = 'x'\nqueue = {priority_levels = 3}",
            "models.a.queue.default_priority: expected a whole number from 1 to priority_levels = 3, got 5",
        ),
        (
            "[models.a]\npath = 'x'\nbatch_axes = {x = -1}",
            "models.a.batch_axes.x: expected a whole number of at least 0, got -1",
        ),
        (
            "[models.a]\npath = 'x'\ninputs = [{name = 'x', dims = []}]",
            (
                "models.a.inputs[0].dtype: expected one of 'BOOL', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', "
                "'INT16', 'INT32', 'INT64', 'FP16', 'BF16', 'FP32', 'FP64', 'BYTES', got nothing"
            ),
        ),
        (
            (
                "[[models.a.warm_up]]\nname = 'w'\ninputs = {x = {dtype = 'FP32', dims = [], file = 'x'}}\n"
                "[models.a.versions]\n1 = 'x'"
            ),
            "models.a.warm_up[0].inputs.x.file: expected a path exactly when fill = 'file', got fill = 'zero'",
        ),
        ("[grpc]\nmax_mesage_mib = 1", "grpc.max_mesage_mib: unknown key, did you mean 'grpc.max_message_mib'?"),
        ("grcp = 1", "grcp: unknown key, did you mean 'grpc'?"),
        ("[drain]\nx = 1", "drain.x: unknown key, expected one of notice_s, grace_s"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(write, text, expected):
    """One sentence: the key, what may stand there, what stood there, and where."""
    assert problems(write(text)) == [f"{expected} (from serinus.toml)"]


def test_all_problems_are_told_at_once_each_with_its_origin(write):
    """Whoever repairs a configuration wants to do it once."""
    path = write("""
        [drain]
        grace_s = -1
        [logs]
        format = "xml"
        """)
    environ = {"SERINUS_LIMITS__MAX_INPUTS": "many", "SERINUS_GRPC__HOSTPORT": "1"}
    assert problems(path, flags={"grpc.max_message_mib": 0}, environ=environ) == [
        "grpc.max_message_mib: expected a whole number from 1 to 2047, got 0 (from a flag)",
        "grpc.hostport: unknown key, did you mean 'grpc.host_port'? (from SERINUS_GRPC__HOSTPORT)",
        "limits.max_inputs: expected a whole number from 1 to 65536, got 'many' (from SERINUS_LIMITS__MAX_INPUTS)",
        "drain.grace_s: expected a number from 0 to 3600, got -1 (from serinus.toml)",
        "logs.format: expected one of 'json', 'console', got 'xml' (from serinus.toml)",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"host_port": "0.0.0.0:8001"},
            (
                "grpc.host_port: expected a loopback address, or tls_cert and tls_key, or allow_insecure = true to let "
                "other machines connect without encryption; got '0.0.0.0:8001'"
            ),
        ),
        ({"tls_cert": "c"}, "grpc.tls_key: expected a path, because tls_cert is given; got nothing"),
        ({"tls_key": "k"}, "grpc.tls_cert: expected a path, because tls_key is given; got nothing"),
        ({"tls_client_ca": "c"}, "grpc.tls_cert: expected a path, because tls_client_ca is given; got nothing"),
    ],
)
def test_strangers_are_let_in_only_with_tls_or_by_decision(values, expected):
    """A port that other machines reach needs encryption or an explicit word."""
    assert problems(flags={f"grpc.{key}": value for key, value in values.items()}) == [f"{expected} (from a flag)"]


@pytest.mark.parametrize("extra", [{"allow_insecure": True}, {"tls_cert": Path("c"), "tls_key": Path("k")}])
def test_a_decision_or_tls_opens_the_port(extra):
    """Either is enough."""
    assert GrpcSettings(host_port="0.0.0.0:8001", **extra).host == "0.0.0.0"


def test_the_http_port_needs_its_own_decision():
    """Opening grpc says nothing about metrics."""
    flags = {"http.host_port": "[::]:8002", "grpc.allow_insecure": True}
    assert problems(flags=flags) == [
        (
            "http.host_port: expected a loopback address, or allow_insecure = true to let other machines connect "
            "without encryption; got '[::]:8002' (from a flag)"
        )
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path, write):
    """Missing, a folder, not TOML, not text: each has its sentence."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert problems(tmp_path / "no.toml") == [f"{tmp_path / 'no.toml'}: cannot be read: No such file or directory"]
    assert problems(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    assert problems(binary) == [f"{binary}: is not UTF-8 text"]
    assert problems(write("a = ")) == [f"{tmp_path / 'serinus.toml'}: is not TOML: Invalid value (at end of document)"]


def test_settings_do_not_change():
    """Parsed once, then frozen."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().grpc.host_port = "127.0.0.1:1"


def test_each_effective_value_has_an_origin(write):
    """A list that was said as a whole is one value; a name with dots is quoted."""
    path = write("""
        [models."a.b"]
        path = "/a.onnx"
        batching = {preferred_rows = [2, 4]}
        """)
    described = describe(load_settings(path, flags={}, environ={}))
    assert [effective for effective in described if effective.origin != "default"] == [
        Effective('models."a.b".batching.preferred_rows', [2, 4], "file"),
        Effective('models."a.b".path', "/a.onnx", "file"),
    ]
    assert Effective("compute.providers", ["cpu"], "default") in described
    assert len({effective.key for effective in described}) == len(described)
