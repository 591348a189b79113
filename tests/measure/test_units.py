"""Numbers as people read them."""

import pytest

from effdl.measure.units import milliseconds, percent, si, size


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1, "1"),
        (999, "999"),
        (999.4, "999"),
        (999.6, "1 k"),
        (1000, "1 k"),
        (269_722, "270 k"),
        (999_499, "999 k"),
        (999_500, "1 M"),
        (1_814_070_000, "1.81 G"),
        (5.6e12, "5.6 T"),
        (0.5, "500 m"),
        (0.0012, "1.2 m"),
        (0.9999, "1"),
        (1e-3, "1 m"),
        (0.99999e-3, "1 m"),
        (2.5e-5, "25 µ"),
        (1e-6, "1 µ"),
        (3e-9, "3 n"),
        (4e-10, "4e-10"),
        (-1500, "-1.5 k"),
    ],
)
def test_si(value, shown):
    assert si(value) == shown


def test_si_with_a_unit():
    assert (si(0, "g"), si(12.34, "g"), si(0.00123, "Wh"), si(1e-12, "g")) == ("0 g", "12.3 g", "1.23 mWh", "1e-12 g")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0.0 KB"),
        (999, "1.0 KB"),
        (1000, "1.0 KB"),
        (999_000, "999.0 KB"),
        (10**6, "1.00 MB"),
        (2.5e9, "2,500.00 MB"),
    ],
)
def test_size(value, shown):
    assert size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0.00 %"), (0.98765, "98.77 %"), (1, "100.00 %"), (0.00004, "0.00 %")]
)
def test_percent(value, shown):
    assert percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.4567, "0.457 ms"), (2.7, "2.7 ms"), (123.4, "123 ms"), (999.7, "1,000 ms"), (12345, "12,345 ms")],
)
def test_milliseconds(value, shown):
    assert milliseconds(value) == shown
