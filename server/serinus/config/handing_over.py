"""Settings as a document for other processes of the same server: everything that counts, secrets included."""

from typing import Any

from serinus.config.settings import Settings


def document_of(settings: Settings) -> dict[str, Any]:
    """Values of JSON, from which `Settings.model_validate` makes equal settings. Not for anybody to see."""
    # What was not said stays unsaid: a model's own table goes before what its folder says only where it says something.
    document = settings.model_dump(mode="json", exclude_unset=True)
    if (url := settings.registry.database) is not None:
        document["registry"]["database"] = url.get_secret_value()
    return document
