"""Layers that change shapes."""
