"""The list of processors, read as codecarbon reads it with pandas."""

import subprocess
import sys

import pytest

from effdl.measure.tdp import nominal_power

_MODELS = (
    "AMD EPYC 7763 64-Core Processor",
    "Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz",
    "Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz",
    "Intel(R) Xeon(R) Processor",
    "nothing of the kind",
)


@pytest.fixture(scope="module")
def tdp():
    from codecarbon.core.cpu import TDP

    return object.__new__(TDP)  # without its constructor, which looks at this machine


@pytest.mark.parametrize("model", _MODELS)
def test_the_power_is_that_which_codecarbon_finds_with_pandas(tdp, model):
    pandas = pytest.importorskip("pandas")
    from codecarbon.input import DataSource

    table = pandas.read_csv(DataSource().cpu_power_path)
    name = tdp._get_matching_cpu(model, table)
    assert nominal_power(tdp, model) == (tdp._get_cpu_constant_power(name, table) if name else None)


def test_known_processors_are_found_and_others_are_not(tdp):
    assert nominal_power(tdp, "AMD EPYC 7763 64-Core Processor") == 280
    assert nominal_power(tdp, "nothing of the kind") is None


def test_looking_for_the_hardware_imports_no_pandas():
    code = (
        "import sys; from effdl.measure.power import components; found = components(); "
        "print([part.name for part in found], 'pandas' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["['cpu',", "'gpu',", "'ram']", "False"]
