"""Which versions are wanted, which are loaded, and how one is swapped for another without losing a call."""
