"""The kinds of value that an operator can write, and the base of every table of them."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from serinus.config.addresses import check_host_port
from serinus.core.errors import InvalidInput
from serinus.core.version import check_model_name

MIB = 1 << 20


class Section(BaseModel):
    """A table of settings: frozen, and without room for a key that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _refuse_bool(value: object) -> object:
    # Python counts True as 1; whoever writes `threads = true` meant something else.
    if isinstance(value, bool):
        raise PydanticCustomError("bool_as_number", "a truth value is not a number")
    return value


def _split_commas(value: object) -> object:
    # Environment and flags have no lists.
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _some_and_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names or len(set(names)) != len(names):
        raise ValueError(f"expected at least one provider, and each once, got {list(names)}")
    return names


def _model_name(name: str) -> str:
    try:
        return check_model_name(name)
    except InvalidInput as error:
        raise ValueError(error.message) from error


Whole = Annotated[int, BeforeValidator(_refuse_bool)]
Number = Annotated[float, BeforeValidator(_refuse_bool)]
Providers = Annotated[tuple[str, ...], BeforeValidator(_split_commas), AfterValidator(_some_and_distinct)]
HostPort = Annotated[str, AfterValidator(check_host_port)]
ModelName = Annotated[str, AfterValidator(_model_name)]
