"""Kinds of workflow, one file each."""
