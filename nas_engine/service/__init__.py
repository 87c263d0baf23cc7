"""The language model service: what is sent, what comes back, what it costs, when to wait."""
