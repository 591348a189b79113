"""Units of stored numbers, and how people read them. Pure functions; standard library only."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

UNKNOWN = "-"  # what stands for None: not measured
_PREFIXES = ((12, "T"), (9, "G"), (6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "µ"), (-9, "n"))  # by power of ten


def si(value: float, unit: str = "") -> str:
    """A number with three digits and an SI prefix: ``269 k``, ``1.81 G``."""
    value = float(f"{value:.3g}")  # before the prefix is chosen: 999,960 is 1 M
    for exponent, prefix in _PREFIXES:
        if abs(value) >= 10**exponent:
            return f"{value / 10**exponent:.3g} {prefix}{unit}".strip()
    return f"{value:.3g} {unit}".strip()


def percent(value: float) -> str:
    """A fraction as a percentage with two decimals."""
    return f"{100 * value:.2f} %"


def _points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{100 * value:+.2f}"


def size(value: float) -> str:
    """Bytes in KB or MB (1,000 and 1,000,000 bytes)."""
    return f"{value / 1e6:,.2f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} KB"


def milliseconds(value: float) -> str:
    """A latency with three digits."""
    return f"{value:,.0f} ms" if value >= 999.5 else f"{value:.3g} ms"


def _seconds(value: float) -> str:
    """A duration with one decimal."""
    return f"{value:.1f} s"


def _short_time(value: float) -> str:
    """A duration in seconds, minutes or hours, whichever is shortest."""
    if value >= 3600:
        return f"{value / 3600:.2f} h"
    return f"{value / 60:.1f} min" if value >= 60 else _seconds(value)


def _watt_hours(kwh: float) -> str:
    """Energy in Wh with a prefix."""
    return si(1000 * kwh, "Wh")


def _grams(value: float) -> str:
    """A mass with a prefix."""
    return si(value, "g")


def _whole(value: float) -> str:
    """A count with all its digits; a mean of counts keeps its decimals."""
    return f"{int(value) if float(value).is_integer() else value:,}"


def _three_digits(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:.3g}"


def _digits(value: float) -> str:
    """A number with four significant digits, without an exponent above one ten-thousandth."""
    return f"{value:,.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"


def typed(value: object) -> str:
    """A value of a config as one types it; of a path its last part."""
    if isinstance(value, str):
        return value.rstrip("/").rpartition("/")[2] or value
    return json.dumps(value)


def _plain(value: object) -> str:
    """A value whose meaning is not known."""
    return _digits(value) if isinstance(value, float) else typed(value)


@dataclass(frozen=True)
class Unit:
    """What a stored number counts, and how it is written.

    Attributes:
        stored: the unit of the number in a run's files; empty: a pure number or a text.
        write: makes a text of a stored number.
        symbol: the unit on an axis, where a stored number is multiplied with `factor`.
        brief: like `write`, for a narrow column; by default the same.
        prefixed: makes the symbol of an SI prefix, for units that take one (MB, but not kms).
    """

    stored: str
    write: Callable[..., str]
    symbol: str = ""
    factor: float = 1
    brief: Callable[..., str] | None = None
    prefixed: Callable[[str], str] | None = None

    def in_column(self, value: object) -> str:
        """A stored number as text for a narrow column."""
        return (self.brief or self.write)(value)

    def difference(self, value: float) -> str:
        """The difference of two stored numbers with its sign; of fractions in percentage points."""
        return _points(value) if self is PERCENT else ("-" if value < 0 else "+") + self.write(abs(value))

    def on_axis(self, values: Sequence[float]) -> tuple[str, float]:
        """Symbol and factor for an axis of these stored numbers, with the SI prefix that fits their median.

        Zeros do not count for the prefix; without other numbers there is none.
        """
        sizes = [abs(value) * self.factor for value in values if value]
        if not self.prefixed or not sizes:
            return self.symbol, self.factor
        exponent, prefix = next((pair for pair in _PREFIXES if median(sizes) >= 10.0 ** pair[0]), _PREFIXES[-1])
        return self.prefixed(prefix), self.factor / 10.0**exponent


_WORDS = {"k": "thousands", "M": "millions", "G": "billions"}

PERCENT = Unit("fraction", percent, "%", 100)
POINTS = Unit("fraction", lambda value: f"{_points(value)} points", "points", 100, brief=_points)
COUNT = Unit("", _whole, brief=si, prefixed=lambda prefix: _WORDS.get(prefix, prefix))
MACS = Unit("", si, "MACs", prefixed=lambda prefix: f"{prefix} MACs".strip())
FLOPS = Unit("", lambda value: si(value, "FLOP"), "FLOP", prefixed="{}FLOP".format)
BOPS = Unit("", si, "BOPs", prefixed=lambda prefix: f"{prefix} BOPs".strip())
BITS = Unit("bits", _three_digits)
BYTES = Unit("bytes", size, "B", prefixed=lambda prefix: f"{'K' if prefix == 'k' else prefix}B")
WHOLE_BYTES = Unit("bytes", "{:,.0f}".format, "B", prefixed=BYTES.prefixed)
KILOBYTES = Unit("KB of 1,024 bytes", "{:,.1f}".format, "KB")
RATIO = Unit("", "{:.2f} x".format, "x")
MILLISECONDS = Unit("ms", milliseconds, "ms")
SECONDS = Unit("s", _seconds, "s", brief=_short_time)
HOURS = Unit("h", _digits, "h")
WATTS = Unit("W", "{:,.2f}".format, "W")
WATT_HOURS = Unit("kWh", _watt_hours, "Wh", 1000, prefixed="{}Wh".format)
KILOWATT_HOURS = Unit("kWh", _digits, "kWh")
GRAMS = Unit("g", _grams, "g", prefixed="{}g".format)
DOLLARS = Unit("USD", lambda value: f"{value:,.2f}" if value >= 1 else f"{value:.2g}", "USD")
POUNDS = Unit("lbs", _digits, "lbs")
SPEED = Unit("images/s", "{:,.0f} img/s".format, "images/s")
NATS = Unit("nats", "{:.4f}".format)
SCORE = Unit("", _digits)
NUMBER = Unit("", _three_digits)
REACHED = Unit("", lambda value: "reached" if value else "below")
TEXT = Unit("", str)
PLAIN = Unit("", _plain)
