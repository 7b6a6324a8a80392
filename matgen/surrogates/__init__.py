"""Property models with uncertainty."""
