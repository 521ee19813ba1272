"""Tells operators what the runs of this server's versions were seen to cost."""

from collections.abc import Sequence

from serinus.app.stack import ServedVersion
from serinus.core.version import Version
from serinus.lifecycle.models import Models
from serinus.transport.admin.learned_costs import LearnedCosts


class LearnedByServing:
    """What is known of the versions that serve; satisfies `transport.admin.learned_costs.LearnedCostsOf`.

    Attributes:
        models: Serves them.
    """

    def __init__(self, models: Models) -> None:
        self._models = models

    def __call__(self, model: str, version: Version | None, /) -> Sequence[LearnedCosts]:
        """What is known of a model's versions, or of all for ""; of one version, or of all for None.

        Raises:
            NotFound, NotLoaded, Loading: a model that is named does not serve, or not in that version.
        """
        if version is not None:
            found = [self._models.find(model, str(version))]
        else:
            found = list(self._models.serving(model or None))
            if model and not found:
                found = [self._models.find(model, "")]  # says why it does not serve
        return [_learned(servable) for servable in found if isinstance(servable, ServedVersion)]


def _learned(served: ServedVersion) -> LearnedCosts:
    model = served.model
    return LearnedCosts(
        version=model.identity,
        points=model.cost_points(),
        best=model.best_points(),
        lone_threads=model.lone_threads,
        is_inline=model.is_quick(1),
        pads=model.pads,
        is_restored=model.is_restored,
    )
