"""Generators, one file a family."""
