"""Tells from an error whether memory was what it lacked: onnxruntime has no class of its own for that."""

_SIGNS = ("failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, of the machine or of a device."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return any(sign in text for sign in _SIGNS)
