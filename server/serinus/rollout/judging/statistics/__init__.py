"""Statistics that may be looked at after every call, for ever, and still keep their error probability."""
