"""Settings: models, keys, limits and appearance."""
