"""Reads onnxruntime's errors: classes say little, and texts hold paths, so that only known signs are passed on."""

_OUT_OF_MEMORY = ("failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")

# Signs in its texts, most telling first, and what they say about the model.
_SIGNS = (
    ("not acyclic", "its graph has a cycle"),
    ("Duplicate definition", "it defines a name twice"),
    ("two nodes with same node name", "two of its nodes have the same name"),
    ("Out of bounds dimensions", "a weight has an impossible shape"),
    ("is not a graph input, initializer", "a node takes what nothing gives"),
    ("does not exist in the graph", "nothing gives one of its outputs"),
    ("No Op registered for", "it uses an operator that its opset does not have"),
    ("ShapeInferenceError", "shapes in its graph contradict each other"),
    ("TypeInferenceError", "element types in its graph contradict each other"),
    ("Type Error", "element types in its graph contradict each other"),
)
_CLASSES = {
    "InvalidGraph": "its graph is not valid",
    "InvalidProtobuf": "it is not a valid file",
    "NotImplemented": "it uses an operator or a type that is not built",
}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, of the machine or of a device."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return any(sign in text for sign in _OUT_OF_MEMORY)


def why_refused(error: BaseException) -> str:
    """What is wrong with a model that cannot be loaded, as the end of a sentence."""
    text = str(error)
    for sign, meaning in _SIGNS:
        if sign in text:
            return meaning
    return _CLASSES.get(type(error).__name__, "it cannot be loaded")
