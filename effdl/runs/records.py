"""The shapes of the files of a run folder: what readers may rely on. What else a file says is kept as it is."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from effdl.utils.shapes import shaped

_Natural = Annotated[int, Field(ge=0)]
_Number = int | float
_Measured = _Number | None  # None: not measured


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class _Cost(_Record):
    """What was spent."""

    duration_s: _Measured = None
    energy_kwh: _Measured = None
    co2eq_g: _Measured = None
    cpu_kwh: _Measured = None
    gpu_kwh: _Measured = None
    ram_kwh: _Measured = None
    others_cpu_s: _Measured = None
    training_flops: _Measured = None


class RunRecord(_Record):
    """``run.json``."""

    status: str
    reason: str | None = None
    started: str = ""
    layout: _Natural = 1
    config: dict[str, Any]
    config_fingerprint: str = ""
    resumed: _Natural = 0
    host: str | None = None
    pid: int | None = None
    starts: list[dict[str, Any]] = []
    overrides: list[str] | None = None
    typed_in: str | None = None


class StageRow(_Cost):
    """A row of ``stages.jsonl``."""

    stage: str
    method: str
    top1: _Measured = None
    loss: _Measured = None
    params: _Measured = None
    params_nonzero: _Measured = None
    macs: _Measured = None
    weight_bits: _Measured = None
    activation_bits: _Measured = None
    size_bytes: _Measured = None
    epochs: _Measured = None
    energy_source: str | None = None
    model_sha256: str | None = None
    layers: _Natural | None = None


class LayerRow(_Record):
    """A row of ``layers.jsonl``."""

    stage: str
    name: str
    shape: list[_Natural]
    params: _Number
    weights: _Number
    weights_nonzero: _Number
    macs: _Number
    macs_nonzero: _Number
    weight_bits: _Number
    activation_bits: _Number


class EpochRow(_Cost):
    """A row of ``epochs.jsonl``."""

    stage: str
    fit: _Natural
    epoch: _Natural
    loss: _Number
    top1: _Measured = None
    images: _Measured = None
    images_per_s: _Measured = None
    trained_in: str = "."
    memory_peak_bytes: _Measured = None


class _Total(_Cost):
    """The sums in ``result.json``."""

    epochs: _Measured = None
    resumed: int | bool | None = None
    source: dict[str, str | None] | None = None
    energy: dict[str, Any] | None = None


class ResultRecord(_Record):
    """``result.json``. `files`: SHA-256 of the files that the numbers were made from."""

    stages: Annotated[list[StageRow], Field(min_length=1)]
    total: _Total
    files: dict[str, str] = {}


def checked(value: Any, shape: Any, file: Path) -> Any:
    """The value, if it has the shape.

    Raises:
        UserError: it does not: names the file, the place and what is wrong there.
    """
    shaped(value, shape, f"{file} is damaged: ")
    return value


def checked_rows(rows: list[dict], shape: Any, file: Path) -> list[dict]:
    """The rows, if each has the shape.

    Raises:
        UserError: one has not: names the file, the row, the place and what is wrong there.
    """
    for number, row in enumerate(rows, start=1):
        shaped(row, shape, f"{file} is damaged: row {number}: ")
    return rows
