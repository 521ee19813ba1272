"""Where the registry may keep what it knows."""

from pathlib import Path

import pytest

from serinus.config.errors import ConfigError
from serinus.config.layers import Layer, Origin
from serinus.config.settings import Settings, describe


def settings(**registry: object) -> Settings:
    return Settings.from_layers(Layer(Origin.FILE, {"registry": registry, "state": "/srv/state"}))


def problems(**registry: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        settings(**registry)
    return caught.value.problems


def test_nothing_said_is_in_the_state_folder():
    """One folder holds everything until somebody says otherwise."""
    said_nothing = settings()
    assert said_nothing.database_url == "sqlite:////srv/state/registry.db"
    assert Path(said_nothing.artifacts_place) == Path("/srv/state/artifacts")


def test_a_password_is_shown_to_nobody():
    """Neither in what counts, nor in a representation, nor in a refusal."""
    url = "postgresql://u:hunter2@db/serinus"
    said = settings(database=url)
    assert said.database_url == url
    assert "hunter2" not in repr(said)
    assert "hunter2" not in repr(describe(said))
    assert "hunter2" not in "".join(problems(database="mysql://u:hunter2@db/serinus"))


@pytest.mark.parametrize("url", ["registry.db", "mysql://h/n", "postgresql:h", "", "sqlite:registry.db"])
def test_a_database_that_cannot_be_meant(url: str):
    """The sentence says what can be."""
    assert problems(database=url) == (
        "registry.database: expected 'postgresql://USER:PASSWORD@HOST/NAME' or 'sqlite:///FILE' (from a file)",
    )


@pytest.mark.parametrize("place", ["s3://bucket", "s3://bucket/a/b", "gs://bucket", "az://box", "folder", "/a/b"])
def test_places_for_artifacts(place: str):
    """Folders and buckets."""
    assert settings(artifacts=place).artifacts_place == place


@pytest.mark.parametrize("place", ["", "s3://", "http://host/x", "file:///x", "gopher://x"])
def test_places_where_no_artifacts_can_be(place: str):
    """No other scheme is followed."""
    (problem,) = problems(artifacts=place)
    assert problem.startswith("registry.artifacts: expected a folder")


@pytest.mark.parametrize(
    ("key", "value"), [("mode", "auto"), ("max_uploads", 0), ("orphan_age_s", 1), ("stall_s", 0), ("database", 5)]
)
def test_values_out_of_range_name_their_key(key: str, value: object):
    """As for all settings."""
    (problem,) = problems(**{key: value})
    assert problem.startswith(f"registry.{key}: expected ")
