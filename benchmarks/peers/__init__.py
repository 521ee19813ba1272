"""Servers that a user could pick instead, each in an environment of its own that the harness makes."""
