"""How Python says that the system gives this process no further thread: by a sentence, for want of a type."""

_SENTENCE = "can't start new thread"


def is_out_of_threads(error: BaseException) -> bool:
    """Whether nothing went wrong but that; threads that there are go on, and a later try has a chance."""
    return isinstance(error, RuntimeError) and str(error) == _SENTENCE
