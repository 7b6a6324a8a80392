"""Interatomic potentials, found by name: one module a family."""
