"""The checks of effdl on a GPU; `scripts/check_gpu.py` is the command."""
