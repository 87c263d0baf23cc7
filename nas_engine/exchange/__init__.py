"""Whole searches on their way to and from other machines, other programs too."""
