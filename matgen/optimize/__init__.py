"""Objectives, desirability, Pareto fronts."""
