"""Where the registry may keep what it knows: URLs of databases and of artifact stores."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_DATABASES = ("postgresql", "sqlite")
_STORES = ("s3", "gs", "az")


def _database(url: SecretStr) -> SecretStr:
    scheme = url.get_secret_value().partition("://")[0]
    if scheme not in _DATABASES or "://" not in url.get_secret_value():
        # Not what was given: there may be a password in it.
        raise ValueError("expected 'postgresql://USER:PASSWORD@HOST/NAME' or 'sqlite:///FILE'")
    return url


def _artifacts(place: str) -> str:
    scheme, separator, _ = place.partition("://")
    if separator and (scheme not in _STORES or not urlsplit(place).netloc):
        raise ValueError(f"expected a folder, or 's3://BUCKET/PREFIX', 'gs://…', 'az://…', got {place[:64]!r}")
    if not place:
        raise ValueError("expected a folder or a URL, got ''")
    return place


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
"""Secret as a whole: a password may be part of it."""
ArtifactsUrl = Annotated[str, AfterValidator(_artifacts)]
