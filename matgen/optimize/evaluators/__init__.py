"""Evaluators: where the values of a candidate come from."""
