"""Sends each call to a version: by rule, by weight, or as it always was; counts what becomes of it."""
