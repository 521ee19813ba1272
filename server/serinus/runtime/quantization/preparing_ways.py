"""How a model can be made ready to be quantized."""

import enum


class Way(enum.StrEnum):
    """The most thorough way first: converters and optimizers fail on some real models.

    UPGRADED: newer operators, constants folded. FOLDED: constants folded. PLAIN: shapes inferred.
    """

    UPGRADED = "upgraded"
    FOLDED = "folded"
    PLAIN = "plain"
