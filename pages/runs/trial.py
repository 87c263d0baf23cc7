"""Trial: everything about one trial."""
