"""Checkpoints of one training: the newest and the one before it, each with a checksum, read without pickle's powers."""

import hashlib
import io
import logging
from pathlib import Path

import torch

from effdl.utils.errors import RunError
from effdl.utils.files import write_atomic

_DIGEST_BYTES = hashlib.sha256().digest_size
log = logging.getLogger(__name__)


class Checkpoint:
    """``checkpoint.NAME.pt`` in a run folder: a SHA-256 digest followed by what ``torch.save`` writes."""

    def __init__(self, folder: Path, name: str):
        self.newest = folder / f"checkpoint.{name}.pt"
        self.previous = folder / f"checkpoint.{name}.previous.pt"

    def save(self, state: dict) -> None:
        """Write the state (tensors and plain Python values) and keep the checkpoint before it."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        if self.newest.exists():
            self.newest.replace(self.previous)
        write_atomic(self.newest, hashlib.sha256(payload).digest() + payload)

    def load(self) -> dict | None:
        """The newest intact state, or None. A damaged file is reported, deleted, and the one before it used.

        Raises:
            RunError: an intact file holds more than tensors and plain Python values.
        """
        for path in (self.newest, self.previous):
            if path.exists():
                data = path.read_bytes()
                if hashlib.sha256(data[_DIGEST_BYTES:]).digest() == data[:_DIGEST_BYTES]:
                    return _unpack(path, data[_DIGEST_BYTES:])
                log.warning("%s is damaged; going back to the state before it", path.name)
                path.unlink()  # or the next `save` would put it in the place of the good one
        return None


def _unpack(path: Path, payload: bytes) -> dict:
    """What `torch.save` packed, if it is nothing but tensors and plain Python values."""
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # what an arbitrary file makes of the unpickler is arbitrary too
        reason = (str(error) or repr(error)).splitlines()[0]
        raise RunError(f"{path} holds what may not be loaded (delete it to do without): {reason}") from error
