"""Measuring and logging: what happened, how often, how long it took."""
