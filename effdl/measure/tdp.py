"""The nominal power (TDP) of processors, from codecarbon's list (https://codecarbon.io).

codecarbon reads the list with pandas, whose import costs every run half a second of CPU time: here `csv` reads it.
codecarbon still decides which of its entries a processor is.
"""

import csv
from importlib.resources import files


def use_light_reader() -> None:
    """Let codecarbon read its list of processors without pandas, for as long as this process lives."""
    from codecarbon.core.cpu import TDP

    TDP._get_cpu_power_from_registry = nominal_power


def nominal_power(tdp, model: str) -> float | None:
    """The TDP (W) of a processor, of which the list may have several spellings; None if it is not in the list.

    Args:
        tdp: an object of codecarbon's class ``TDP``, of which this is a method.
        model: as the operating system names it.
    """
    with (files("codecarbon") / "data/hardware/cpu_power.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    match = tdp._get_matching_cpu(model, {"Name": [row["Name"] for row in rows]})
    return next((float(row["TDP"]) for row in rows if row["Name"] == match), None)


def knows_tdp(part) -> bool:
    """Whether the list has the processor of a codecarbon object; else codecarbon takes a constant."""
    from codecarbon.core import cpu
    from codecarbon.core.hardware_cache import get_cached_tdp

    if part._is_generic_tdp:
        return False
    tdp = get_cached_tdp(cpu)
    return tdp._get_cpu_power_from_registry(tdp.model) is not None
