"""Lineage: the tree of accepted changes."""
