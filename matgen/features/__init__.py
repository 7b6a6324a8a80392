"""Composition vectors and graphs."""
