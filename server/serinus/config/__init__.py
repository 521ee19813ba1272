"""Parsing of what the operator says, once, into frozen values: settings, models and Triton repositories."""
