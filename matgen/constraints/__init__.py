"""Domain knowledge: one constraint object, up to four roles."""
