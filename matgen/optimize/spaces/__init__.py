"""Search spaces: what Optuna may vary, and how a point becomes a candidate."""
