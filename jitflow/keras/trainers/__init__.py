"""Training: data adapters, compiled steps, and the loops of `fit`."""
