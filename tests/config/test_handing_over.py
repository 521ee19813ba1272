"""What a supervisor hands to its workers is what the operator said."""

import json
from pathlib import Path

import pytest

from serinus.config.handing_over import document_of
from serinus.config.settings import Settings, load_settings

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
