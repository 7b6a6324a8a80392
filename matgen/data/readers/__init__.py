"""Readers of the field's files, tables, archives, databases and web interfaces."""
