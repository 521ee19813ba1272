"""The files of versions: on their way in, and kept by their hash."""
