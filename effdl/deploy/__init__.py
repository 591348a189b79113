"""The deployed model: exports, the runtimes that run them, and the check against PyTorch."""
