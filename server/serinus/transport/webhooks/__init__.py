"""Tells URLs what happens to rollouts."""
