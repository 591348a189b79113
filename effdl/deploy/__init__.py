"""The deployed model: exports, the runtimes that run them, the comparison with PyTorch, latency."""
