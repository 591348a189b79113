"""The shapes of the files of a run folder: what readers may rely on. What else a file says is kept as it is."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter
from pydantic import ValidationError as _ValidationError

from effdl.utils.errors import UserError

_Natural = Annotated[StrictInt, Field(ge=0)]
_Number = StrictInt | StrictFloat
_Measured = _Number | None  # None: not measured


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class RunRecord(_Record):
    """``run.json``."""

    status: StrictStr
    reason: StrictStr | None = None
    started: StrictStr = ""
    layout: _Natural = 1
    config: dict[StrictStr, Any]
    config_fingerprint: StrictStr = ""
    resumed: _Natural = 0
    host: StrictStr | None = None
    pid: StrictInt | None = None
    starts: list[dict[StrictStr, Any]] = []
    overrides: list[StrictStr] | None = None


class StageRow(_Record):
    """A row of ``stages.jsonl``."""

    stage: StrictStr
    method: StrictStr
    top1: _Measured = None
    loss: _Measured = None
    params: _Measured = None
    params_nonzero: _Measured = None
    macs: _Measured = None
    weight_bits: _Measured = None
    activation_bits: _Measured = None
    size_bytes: _Measured = None
    epochs: _Measured = None
    duration_s: _Measured = None
    energy_kwh: _Measured = None
    co2eq_g: _Measured = None
    model_sha256: StrictStr | None = None
    layers: _Natural | None = None


class LayerRow(_Record):
    """A row of ``layers.jsonl``."""

    stage: StrictStr
    name: StrictStr
    shape: list[_Natural]
    params: _Number
    weights: _Number
    weights_nonzero: _Number
    macs: _Number
    macs_nonzero: _Number
    weight_bits: _Number
    activation_bits: _Number


class EpochRow(_Record):
    """A row of ``epochs.jsonl``."""

    stage: StrictStr
    fit: _Natural
    epoch: _Natural
    loss: _Number
    top1: _Number
    images: _Measured = None
    images_per_s: _Measured = None
    duration_s: _Measured = None
    energy_kwh: _Measured = None
    co2eq_g: _Measured = None
    memory_peak_bytes: _Measured = None


class _Total(_Record):
    """The sums in ``result.json``."""

    epochs: _Measured = None
    duration_s: _Measured = None
    energy_kwh: _Measured = None
    co2eq_g: _Measured = None
    resumed: StrictInt | StrictBool | None = None
    source: dict[StrictStr, StrictStr | None] | None = None
    energy: dict[StrictStr, Any] | None = None


class ResultRecord(_Record):
    """``result.json``. `files`: SHA-256 of the files that the numbers were made from."""

    stages: Annotated[list[StageRow], Field(min_length=1)]
    total: _Total
    files: dict[StrictStr, StrictStr] = {}


_ADAPTERS = {
    kind: TypeAdapter(kind) for kind in (RunRecord, ResultRecord, list[StageRow], list[LayerRow], list[EpochRow])
}


def checked(value: Any, shape: Any, file: Path) -> Any:
    """The value, if it has the shape.

    Raises:
        UserError: it does not: names the file, the place and what is wrong there.
    """
    try:
        _ADAPTERS[shape].validate_python(value)
    except _ValidationError as error:
        first = error.errors(include_url=False)[0]
        rows, keys = ([], first["loc"]) if isinstance(value, dict) else (first["loc"][:1], first["loc"][1:])
        place = [*(f"row {number + 1}" for number in rows), *([".".join(map(str, keys))] if keys else [])]
        raise UserError(": ".join([f"{file} is damaged", *place, first["msg"]])) from error
    return value
