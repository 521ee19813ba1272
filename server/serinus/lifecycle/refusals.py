"""Why a call reaches no version, in a sentence that says what there is and what to do."""

from serinus.core.errors import InvalidInput, Loading, NotFound, NotLoaded, ServerError
from serinus.core.selector import resolve
from serinus.core.version import ModelVersion, check_model_name
from serinus.lifecycle.one_model import OneModel
from serinus.lifecycle.policy import QUARANTINED
from serinus.lifecycle.states import ModelState

_LONGEST_SELECTOR = 128


def why_not(model: str, version: str, one: OneModel | None) -> ServerError:
    """The error for a call that means no version that serves.

    Args:
        model: What the caller wrote.
        version: The same.
        one: What there is under that name, or None.
    """
    if impossible := _impossible_name(model, version):
        return impossible
    versions = [] if one is None else one.versions()
    if one is None or not (versions or one.rejected):
        return NotFound(
            f"model {model[:64]!r}: expected one that this server has; 'serinus models list' shows them", field="model"
        )
    identity = resolve(version, versions, {**one.plan.aliases, **one.aliases})
    if identity is not None and (special := _special(one, identity)):
        return special
    status = None if identity is None else one.status(identity)
    if not versions or not (version or one.ready):
        return NotLoaded(
            f"model {model!r} is known but no version of it serves now; 'serinus models load {model}' loads it",
            field="model",
        )
    if status is None:
        return NotFound(
            f"model {model!r} has no version {version[:64]!r}: "
            f"expected one of {[identity.version_text for identity in reversed(versions)]}",
            field="version",
        )
    reason = f" ({status.reason})" if status.reason else ""
    return NotLoaded(
        f"{identity} is {status.state}{reason}; 'serinus models load {identity}' loads it", field="version"
    )


def _special(one: OneModel, identity: ModelVersion) -> ServerError | None:
    """The error where another try may help by itself, or only a person can."""
    if one.status(identity).state is ModelState.LOADING:
        return Loading(f"{identity} is being loaded: expected the call again in a moment", field="version")
    failure = one.failure(identity)
    if failure is not None and failure.reason == QUARANTINED:
        return NotLoaded(failure.message, reason=QUARANTINED, field="version")
    return None


def _impossible_name(model: str, version: str) -> InvalidInput | None:
    """Why nothing can have these names, so that a caller with a mistaken or hostile one hears that it is no name."""
    try:
        check_model_name(model)
    except InvalidInput as error:
        return error
    if _is_selector(version):
        return None
    return InvalidInput(
        f"invalid version {version[:64]!r}: expected MAJOR.MINOR.PATCH, a number, an alias or a range",
        reason="INVALID_VERSION",
        field="version",
    )


def _is_selector(version: str) -> bool:
    if len(version) > _LONGEST_SELECTOR or version != version.strip():
        return False
    try:
        resolve(version, (), {})
    except InvalidInput:
        return False
    return True
