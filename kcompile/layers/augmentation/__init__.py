"""Layers that change images at random in training, and pass them through afterwards."""
