"""Informer forecasters: configuration, model, training, baselines."""
