"""Copies calls to a version whose answers nobody gets."""
