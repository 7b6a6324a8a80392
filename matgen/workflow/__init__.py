"""Typed workflow configurations and resumable runs."""
