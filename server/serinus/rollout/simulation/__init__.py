"""Plays plans against assumed versions."""
