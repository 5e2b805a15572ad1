"""Training: optimizers, data, loops and callbacks."""
