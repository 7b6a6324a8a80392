"""Structures, data sets, the quality gate, requests, candidates."""
