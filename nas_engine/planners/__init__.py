"""Planners: each proposes the next change to try."""
