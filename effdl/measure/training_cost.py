"""What a training costs: table 3 of Strubell, Ganesh & McCallum 2019, "Energy and Policy Considerations for Deep
Learning in NLP" (ACL). Pure formulas, and the columns that follow from a run. Standard library only.
"""

_PUE_2018, _LBS_PER_KWH_2018 = 1.58, 0.954  # world average of data centres; average of the USA
_COLUMNS = ("hardware", "power_w", "hours", "kwh_pue", "co2e_lbs", "cloud_cost_usd")


def training_energy(power_w: float, hours: float) -> tuple[float, float]:
    """kWh with the data centre's overhead, and lbs of CO2: equations 1 and 2.

    ``p_t = 1.58 t p / 1000`` and ``CO2e = 0.954 p_t``, with the overhead (PUE) and the carbon intensity of the USA that
    the paper assumes; `effdl` itself reports ``co2eq_g`` with those of the run's config.

    Args:
        power_w: mean power of CPU, memory and GPUs together.
    """
    kwh = _PUE_2018 * hours * power_w / 1000
    return kwh, _LBS_PER_KWH_2018 * kwh


def training_cost_columns(
    duration_s: float | None, energy_kwh: float | None, hardware: str | None, price_per_hour: float | None = None
) -> dict:
    """The row of a whole run, its values None where they are not known.

    Args:
        duration_s, energy_kwh: of all stages; the mean power is one over the other.
        price_per_hour: of all that the run uses, in USD; the paper takes its cloud's prices.
    """
    found: dict[str, float | str | None] = dict.fromkeys(_COLUMNS)
    found["hardware"] = hardware
    if duration_s:
        found["hours"] = hours = duration_s / 3600
        if energy_kwh is not None:
            found["power_w"] = 1000 * energy_kwh / hours
            found["kwh_pue"], found["co2e_lbs"] = training_energy(found["power_w"], hours)
        if price_per_hour is not None:
            found["cloud_cost_usd"] = price_per_hour * hours
    return {f"training_{key}": value for key, value in found.items()}
