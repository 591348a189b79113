"""Decoded images kept between runs: one safetensors file per set in ``$XDG_CACHE_HOME/effdl`` or ``~/.cache/effdl``.

The files can be deleted at any time. Files that cannot be read or written cause a warning, never an error.
"""

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from effdl.data.statistics import tensor_digest

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where effdl keeps what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "effdl"


def store(path: Path, name: str, tensor: Tensor, **text: str) -> None:
    """Write a tensor with its digest and more text into a safetensors file, atomically: the file's name comes last.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as partial:
        save_file({name: tensor}, Path(partial, path.name), {"sha256": tensor_digest(tensor).hex(), **text})
        os.replace(Path(partial, path.name), path)


def read(key: str, length: int, limit: float) -> tuple[Tensor, dict[str, Any]] | None:
    """The uint8 (``length``, C, H, W) images stored under ``key``, and what was said of them.

    None if there are none, they are damaged, or they have more than ``limit`` bytes.
    """
    path = cache_folder() / f"{key}.safetensors"
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            shape = file.get_slice("images").get_shape()
            if torch.Size(shape).numel() > limit:
                return None
            images = file.get_tensor("images")
            intact = images.dtype == torch.uint8 and shape[0] == length
            text = file.metadata()
            if intact and tensor_digest(images).hex() == text["sha256"]:
                return images, json.loads(text["about"])
        reason = "its content is not what was stored"
    except Exception as error:  # SafetensorError, OSError, KeyError: after any error the images can be decoded again
        reason = str(error)
    logger.warning("The cached images in %s are damaged and will be decoded again: %s", path, reason)
    return None


def write(key: str, images: Tensor, about: dict[str, Any]) -> None:
    """Store images and what is to be said of them (JSON) under ``key``, atomically: the name comes last."""
    path = cache_folder() / f"{key}.safetensors"
    try:
        store(path, "images", images, about=json.dumps(about))
    except Exception as error:  # a full disk, a read-only home: the next run decodes again
        logger.warning("The decoded images could not be cached in %s: %s", path, error)
