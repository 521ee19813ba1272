"""What the tables of settings allow at a key, read from their annotations so that no message repeats a limit."""

import enum
import itertools
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

Key = tuple[str | int, ...]
_OF_A_KEY = "[key]"  # pydantic's mark behind a key that is itself at fault


def plain(annotation: Any) -> Any:
    """The annotation without what `Annotated` and `| None` add."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        return plain(members[0]) if len(members) == 1 else annotation
    return annotation


def table_at(root: type[BaseModel], key: Key) -> type[BaseModel] | None:
    """The table that `key` names, or None if it names a value or nothing."""
    annotation, _ = _follow(root, key)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def expectation(root: type[BaseModel], key: Key) -> str:
    """What may stand at `key`, to follow the word "expected"."""
    annotation, metadata = _follow(root, key)
    return f"{_noun(annotation)}{_range(metadata)}{_length(annotation, metadata)}"


def resolve_paths(value: object, annotation: Any, folder: Path) -> object:
    """`value`, as TOML gives it, with each relative path that `annotation` knows starting at `folder`."""
    annotation = plain(annotation)
    arguments = get_args(annotation)
    if annotation is Path and isinstance(value, str):
        return str(folder / value)
    if isinstance(value, dict) and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return {
            name: resolve_paths(part, fields[name].annotation, folder) if name in fields else part
            for name, part in value.items()
        }
    if isinstance(value, dict) and get_origin(annotation) is dict:
        return {name: resolve_paths(part, arguments[1], folder) for name, part in value.items()}
    if isinstance(value, list) and get_origin(annotation) is tuple:
        return [resolve_paths(part, arguments[0], folder) for part in value]
    return value


def _follow(root: type[BaseModel], key: Key) -> tuple[Any, tuple[Any, ...]]:
    """The annotation and the constraints at `key`; (None, ()) where nothing is."""
    annotation: Any = root
    metadata: tuple[Any, ...] = ()
    for part, following in itertools.zip_longest(key, key[1:]):
        if part == _OF_A_KEY:
            continue
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation, metadata = _annotated(field) if field else (None, ())
        elif get_origin(annotation) is dict:
            annotation, metadata = _unpack(get_args(annotation)[0 if following == _OF_A_KEY else 1])
        elif get_origin(annotation) is tuple:
            annotation, metadata = _unpack(get_args(annotation)[0])
        else:
            return None, ()
    return annotation, metadata


def _annotated(field: FieldInfo) -> tuple[Any, tuple[Any, ...]]:
    annotation, metadata = _unpack(field.annotation)
    return annotation, (*metadata, *field.metadata)


def _unpack(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    metadata: list[Any] = []
    if get_origin(annotation) is Annotated:
        for extra in get_args(annotation)[1:]:
            metadata.extend(extra.metadata if isinstance(extra, FieldInfo) else (extra,))
    return plain(annotation), tuple(metadata)


def _noun(annotation: Any) -> str:
    nouns = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
        SecretStr: "text",
    }
    if annotation in nouns:
        return nouns[annotation]
    if get_origin(annotation) is Literal:
        return f"one of {_listed(get_args(annotation))}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return f"one of {_listed(member.value for member in annotation)}"
    return "a list" if get_origin(annotation) is tuple else "a table"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(repr(value) for value in values)


def _range(metadata: tuple[Any, ...]) -> str:
    low = next((limit for limit in metadata if isinstance(limit, Ge | Gt)), None)
    high = next((limit for limit in metadata if isinstance(limit, Le | Lt)), None)
    # Three cases: what has a length, what has two ends, what has one.
    if any(isinstance(limit, MinLen) for limit in metadata):
        return " that is not empty"
    if isinstance(low, Ge) and isinstance(high, Le):
        return f" from {low.ge} to {high.le}"
    words = (_end(limit) for limit in (low, high) if limit is not None)
    return "".join(f" {word}" for word in (" and ".join(words),) if word)


def _length(annotation: Any, metadata: tuple[Any, ...]) -> str:
    most = next((limit.max_length for limit in metadata if isinstance(limit, MaxLen)), None)
    return "" if most is None else f" of at most {most} {'characters' if annotation is str else 'entries'}"


def _end(limit: Ge | Gt | Le | Lt) -> str:
    match limit:
        case Ge(ge=number):
            return f"of at least {number}"
        case Gt(gt=number):
            return f"above {number}"
        case Le(le=number):
            return f"at most {number}"
        case Lt(lt=number):
            return f"below {number}"
