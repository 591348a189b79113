"""Reading of the tensors in a file of ``torch.save`` (.pth, .pt): nothing in it is executed."""

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # the type of an error: nothing is unpickled here

import torch
from torch import Tensor

from effdl.utils.errors import UserError, first_line
from effdl.utils.text import abridged

TORCH_SUFFIXES = (".pth", ".pt", ".th", ".ckpt", ".pth.tar")  # of usual names; what a file is its first bytes say
# Where checkpoints have their state dict, in the order in which it is looked for.
_STATE_KEYS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "params"),
    *("ema", "model_ema", "state_dict_ema", "ema_state_dict", "params_ema"),
)
_DAMAGE = (UnpicklingError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, EOFError, ImportError)
_DAMAGE += (ArithmeticError, AssertionError, MemoryError, RecursionError, zipfile.BadZipFile)
_SAVE = "torch.save(model.state_dict(), 'weights.pth')"


@dataclass(frozen=True)
class _TorchFile:
    """The state dict in a file.

    Args:
        tensors: by name.
        notes: where in the file it is, if that had to be chosen.
    """

    tensors: dict[str, Tensor]
    notes: list[str]


def read(path: Path) -> _TorchFile:
    """The state dict in a file: the whole, or what a checkpoint has under one of `_STATE_KEYS`.

    Raises:
        UserError: the file is damaged, holds code, or has no state dict.
    """
    try:
        if _is_archive(path):
            _check_archive(path)
            # Mapped: storages are slices of the file, so none is larger than the file, whatever the file claims.
            content = _loaded(path, mmap=True)
        else:
            content = _loaded(path)
        tensors, notes = _state_dict(content)
        _check_plain(tensors)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnpicklingError as error:
        raise UserError(_why(path, error)) from error
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged or not a file of torch.save: {first_line(error)[:300]}") from error
    return _TorchFile(tensors, notes)


def _is_archive(path: Path) -> bool:
    """Whether a file begins as a zip archive does; PyTorch before 1.6 wrote a pickle.

    Raises:
        ValueError: it begins as neither.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start != b"PK\3\4" and start[:2] != b"\x80\2":
        raise ValueError("it begins as no such file")
    return start == b"PK\3\4"


def _loaded(path: Path, **options: bool):
    with warnings.catch_warnings(action="ignore"):
        return torch.load(str(path), weights_only=True, map_location="cpu", **options)


def _check_archive(path: Path) -> None:
    """Check that the parts of a zip archive are whole, and those of a state dict.

    Raises:
        UserError: it is a program, another kind of archive, or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = [Path(name).name for name in archive.namelist()]
        if "constants.pkl" in names:
            load = "torch.jit.load(FILE, map_location='cpu')"
            raise UserError(
                f"{path} is a TorchScript program, which is not run: save its weights: model = {load}; {_SAVE}"
            )
        if "data.pkl" not in names:
            raise UserError(f"{path} is a zip archive, but not one of torch.save: save the weights by {_SAVE}")
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("its parts are compressed, which torch.save never does")
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of its part {damaged} does not agree")


def _state_dict(content: object) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a checkpoint, and where in it they are, in words."""
    notes: list[str] = []
    for _ in _STATE_KEYS:
        if not isinstance(content, Mapping):
            break
        keys = [key for key in _STATE_KEYS if isinstance(content.get(key), Mapping) and content[key]]
        if keys:
            notes.append(f"its {keys[0]}" + (f", not its {', '.join(keys[1:])}" if keys[1:] else ""))
            content = content[keys[0]]
            continue
        found = {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if found and all(isinstance(name, str) for name in found):
            return found, notes
        has = ", ".join(abridged(str(key)) for key in list(content)[:5]) or "nothing"
        raise ValueError(f"no state dict in it, nor under {', '.join(_STATE_KEYS[:4])}, ...: it has {has}")
    raise ValueError(f"it holds no state dict, but a {type(content).__name__}")


def _check_plain(tensors: dict[str, Tensor]) -> None:
    """Raise ValueError unless all tensors are numbers that lie in memory as they are."""
    for name, tensor in tensors.items():
        plain = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_complex()
        if not plain or tensor.is_meta:
            kind = "a tensor without values" if tensor.is_meta else f"{tensor.dtype} ({tensor.layout})"
            raise ValueError(f"{abridged(str(name))} is {kind}, no plain numbers")


def _why(path: Path, error: UnpicklingError) -> str:
    """Why a file was not unpickled: it names code, which is said, or is no file of torch.save."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        code = sorted(found, key=lambda name: (name.startswith("torch."), name))
    except _DAMAGE:  # of PyTorch before 1.6, or no such file at all
        code = []
    text = str(error)
    if not code and "GLOBAL" not in text:
        return f"{path} is damaged or not a file of torch.save (a state dict is saved by {_SAVE})"
    named = ", ".join(map(abridged, code[:3])) or text.partition("GLOBAL ")[2].split()[0]
    return (
        f"{path} names code ({named}), and none of a file is run: only tensors are read;"
        f" if you trust it, load it where it was made and save its weights: {_SAVE}"
    )
