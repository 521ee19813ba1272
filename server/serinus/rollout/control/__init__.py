"""Moves rollouts: one server at a time does."""
