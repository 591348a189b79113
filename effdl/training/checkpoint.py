"""Checkpoints of one training: the newest and the one before it, bound to their run, read without pickle's powers.

The file begins with a line of JSON, ``{"run": ..., "training": ..., "sha256": ...}``: the key of the run, the number of
the training, and the digest of both and of what follows, which is what ``torch.save`` writes. Runs without seals (see
`effdl.utils.rows`) have the 32 bytes of a SHA-256 digest instead.
"""

import hashlib
import io
import json
import logging
from pathlib import Path

import torch

from effdl.utils.errors import RunError, UserError
from effdl.utils.files import read_file, write_atomic

_DIGEST_BYTES = hashlib.sha256().digest_size
log = logging.getLogger(__name__)


class Checkpoint:
    """``checkpoint.NUMBER.pt`` in a run folder.

    Args:
        key: of the run's seals; None: it has none.
    """

    def __init__(self, folder: Path, number: int, key: str | None):
        self.number, self.key = number, key
        self.newest = folder / f"checkpoint.{number}.pt"
        self.previous = folder / f"checkpoint.{number}.previous.pt"

    def save(self, state: dict) -> None:
        """Write the state (tensors and plain Python values) and keep the checkpoint before it."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        if self.newest.exists():
            self.newest.replace(self.previous)
        write_atomic(self.newest, self.head(payload) + payload)

    def load(self) -> dict | None:
        """The newest intact state, or None. A damaged or missing one is reported, and the one before it used.

        Raises:
            RunError: an intact file holds more than tensors and plain Python values.
            UserError: an intact file is of another run or training.
        """
        if self.previous.exists() and not self.newest.exists():
            log.warning("%s is missing; going back to the state before it", self.newest.name)
        for path in (self.newest, self.previous):
            if path.exists():
                if (payload := self.payload(path)) is not None:
                    return _unpack(path, payload)
                log.warning("%s is damaged; going back to the state before it", path.name)
                path.unlink()  # or the next `save` would put it in the place of the good one
        return None

    def peek(self) -> dict | None:
        """The newest state if it is intact, or None; the files stay as they are.

        Raises:
            RunError: an intact file holds more than tensors and plain Python values.
            UserError: an intact file is of another run or training.
        """
        payload = self.payload(self.newest)
        return None if payload is None else _unpack(self.newest, payload)

    def check(self) -> None:
        """Refuse files of another run or training.

        Raises:
            UserError: there is one.
        """
        for path in (self.newest, self.previous):
            if path.exists():
                self.payload(path)

    def payload(self, path: Path) -> bytes | None:
        """What `torch.save` wrote into a file, or None if the file is damaged.

        Raises:
            UserError: it is of another run or training.
        """
        data = read_file(path)
        if self.key is None:
            payload = data[_DIGEST_BYTES:]
            return payload if hashlib.sha256(payload).digest() == data[:_DIGEST_BYTES] else None
        line, _, payload = data.partition(b"\n")
        try:
            head = json.loads(line)
            intact = head["sha256"] == _digest(head["run"], head["training"], payload)
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
        if not intact:
            return None
        if (head["run"], head["training"]) != (self.key, self.number):
            raise UserError(f"{path} is of another run or training: delete it, or choose another hydra.run.dir")
        return payload

    def head(self, payload: bytes) -> bytes:
        """What comes before the payload."""
        if self.key is None:
            return hashlib.sha256(payload).digest()
        head = {"run": self.key, "training": self.number, "sha256": _digest(self.key, self.number, payload)}
        return json.dumps(head).encode() + b"\n"


def _digest(run: str, training: int, payload: bytes) -> str:
    return hashlib.sha256(json.dumps([run, training]).encode() + payload).hexdigest()


def _unpack(path: Path, payload: bytes) -> dict:
    """What `torch.save` packed, if it is nothing but tensors and plain Python values."""
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # what an arbitrary file makes of the unpickler is arbitrary too
        reason = (str(error) or repr(error)).splitlines()[0]
        raise RunError(f"{path} holds what may not be loaded (delete it to do without): {reason}") from error
