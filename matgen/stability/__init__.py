"""Potentials, relaxation, reference energies, convex hull."""
