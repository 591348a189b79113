"""Carbon intensity of electricity, from the data files shipped with codecarbon."""

import difflib
import json
from importlib.util import find_spec
from pathlib import Path

from effdl.utils.errors import UserError


def carbon_intensity(country: str | None) -> tuple[float | None, str]:
    """Carbon intensity of electricity (g CO2eq per kWh) and where it is from; (None, "unavailable") without the data.

    Raises UserError for an unknown country, for which codecarbon itself would use the world average.
    """
    try:
        if country is None:
            return _read("carbon_intensity_per_source.json")["world_average"], "world average"
        mix = _read("global_energy_mix.json")
    except (AttributeError, OSError, ValueError, KeyError):  # no codecarbon, or one that keeps its data elsewhere
        return None, "unavailable"
    if country not in mix:
        near = ", ".join(f"{code} ({mix[code]['country_name']})" for code in _nearest(country, mix))
        raise UserError(
            f"energy.country={country!r} is not a known country: use an ISO 3166 alpha-3 code such as FRA (France)"
            f"{f', perhaps {near}' if near else ''}, or null for the world average"
        )
    return mix[country]["carbon_intensity"], f"{mix[country]['country_name']}, {mix[country]['year']}"


def _read(name: str) -> dict:
    """A data file of codecarbon; the package is located, not imported, which would cost 0.2 s before any check."""
    return json.loads((Path(find_spec("codecarbon").origin).parent / "data" / "private_infra" / name).read_text())


def _nearest(word: str, mix: dict[str, dict]) -> list[str]:
    """The codes of up to three countries whose code or name looks like `word`."""
    labels = {label.casefold(): code for code in mix for label in (code, mix[code]["country_name"])}
    return list(dict.fromkeys(labels[label] for label in difflib.get_close_matches(word.casefold(), labels)))
