"""`serinus traffic`: who answers the calls of a model."""
