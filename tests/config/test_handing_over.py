"""What a supervisor hands to its workers is what the operator said."""

import dataclasses
import json
from pathlib import Path

import pytest

from serinus.config.handing_over import document_of, supervision_of
from serinus.config.settings import Settings, load_settings
from serinus.config.supervision import Supervision

EVERYTHING = """
state = "somewhere"
model_repository = "models"
[grpc]
host_port = "[::1]:9000"
[workers]
count = 3
[registry]
database = "postgresql://user:secret@host/name"
artifacts = "s3://bucket/prefix"
[webhooks]
urls = ["https://example.org/hook"]
hosts = ["example.org"]
[models.one]
path = "one.onnx"
[models.one.batching]
max_rows = 8
preferred_rows = [4, 8]
[models.one.queue]
timeout_s = 0.25
[models.many.versions]
1 = "a.onnx"
7 = "b.onnx"
"""


@pytest.mark.parametrize("text", ["", EVERYTHING])
def test_settings_survive_the_way_to_another_process(tmp_path: Path, text: str):
    """Every value, the password in a URL included."""
    file = tmp_path / "serinus.toml"
    file.write_text(text)
    settings = load_settings(file, flags={}, environ={})
    again = Settings.model_validate(json.loads(json.dumps(document_of(settings))))
    assert again.model_dump() == settings.model_dump()
    assert again.model_dump(exclude_unset=True) == settings.model_dump(exclude_unset=True)
    assert again.model_specs == settings.model_specs


def test_a_supervisor_is_told_what_it_acts_by(tmp_path: Path):
    """In values of JSON, and without a secret."""
    file = tmp_path / "serinus.toml"
    file.write_text(EVERYTHING + "[drain]\nnotice_s = 2\ngrace_s = 10\n")
    settings = load_settings(file, flags={}, environ={})
    told = json.dumps(dataclasses.asdict(supervision_of(settings, log_format="console")))
    assert Supervision(**json.loads(told)) == Supervision(
        grpc="[::1]:9000",
        http="127.0.0.1:8002",
        state=str(tmp_path / "somewhere"),
        workers=3,
        ready_s=600,
        silent_s=30,
        backoff_s=0.1,
        longest_backoff_s=30,
        most_deaths=3,
        death_window_s=60,
        leave_s=12,
        load_s=settings.loading.timeout_s,
        log_level="info",
        log_format="console",
    )
