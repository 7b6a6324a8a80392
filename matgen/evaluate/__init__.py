"""Validity, uniqueness, novelty, match rates."""
