"""Rungs of the fidelity ladder, from cheap to dear."""
