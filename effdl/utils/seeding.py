"""Seeds: every random draw is determined by the seed of the run and the path of the draw.

A draw does not depend on how many numbers were drawn before, so a resumed run needs no saved generator states.
"""

import hashlib
import os

import torch


def derive_seed(*path: int | str) -> int:
    """A seed in [0, 2^63) that depends on every part of the path, as in ``derive_seed(seed, "fit", 0, epoch)``."""
    digest = hashlib.sha256(repr(path).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def make_deterministic(deterministic: bool, *, compiled: bool = False) -> None:
    """Choose reproducible kernels where PyTorch has them (at no cost on a CPU).

    Args:
        deterministic: whether to.
        compiled: also those that ``torch.compile`` makes. Telling it imports the compiler: a second of CPU time.
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required for a reproducible cuBLAS
    if compiled:
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
    else:
        torch.set_deterministic_debug_mode("warn" if deterministic else "default")
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic
