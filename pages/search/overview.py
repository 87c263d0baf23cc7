"""Overview: all searches of this workspace."""
