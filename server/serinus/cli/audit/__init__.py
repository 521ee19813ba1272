"""`serinus audit`: one command per file."""
