"""Pruning: weights set to zero, or whole filters removed."""
