"""Time-series data: where it comes from, how it is split, scaled and cut into windows."""
