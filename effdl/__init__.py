"""effdl: an experiment runner for efficient deep learning."""

__version__ = "0.1.0"
