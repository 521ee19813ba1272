"""Answers calls that the chosen version could not."""
