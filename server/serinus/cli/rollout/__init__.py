"""`serinus rollout`: versions that earn their calls."""
