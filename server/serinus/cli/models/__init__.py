"""`serinus models`: one command per file."""
