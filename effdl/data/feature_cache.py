"""Features that a frozen network computed, kept between runs beside the decoded images (see `pixel_cache`).

One safetensors file per tensor. The files can be deleted at any time. Together they have at most `LIMIT` bytes: those
that were not used for longest make room. What cannot be read or written causes a warning, never an error.
"""

import logging
import os
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from effdl.data.pixel_cache import cache_folder, store
from effdl.data.statistics import tensor_digest

logger = logging.getLogger(__name__)
LIMIT = 2 << 30


def read(key: str) -> Tensor | None:
    """The float32 tensor stored under `key`; None if there is none or it is damaged."""
    path = _path(key)
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            features, text = file.get_tensor("features"), file.metadata()
        if tensor_digest(features).hex() == text["sha256"]:
            os.utime(path)
            return features
        reason = "its content is not what was stored"
    except Exception as error:  # after any error they can be computed again
        reason = str(error)
    logger.warning("The cached features in %s are damaged and will be computed again: %s", path, reason)
    return None


def write(key: str, features: Tensor) -> None:
    """Store a float32 tensor on the CPU under `key`, atomically, unless it is too large."""
    if features.nbytes > LIMIT:
        return
    path = _path(key)
    try:
        store(path, "features", features.contiguous())
        _make_room(path)
    except Exception as error:  # a full disk, a read-only home: the next run computes again
        logger.warning("The features could not be cached in %s: %s", path, error)


def _path(key: str) -> Path:
    return cache_folder() / f"features-{key}.safetensors"


def _make_room(kept: Path) -> None:
    """Delete the files that were not used for longest, until the rest and the one that is kept are within the limit."""
    files = {path: path.stat() for path in kept.parent.glob("features-*.safetensors") if path != kept}
    total = kept.stat().st_size
    for path, stat in sorted(files.items(), key=lambda entry: entry[1].st_mtime, reverse=True):
        total += stat.st_size
        if total > LIMIT:
            path.unlink(missing_ok=True)
