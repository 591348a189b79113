"""Which layers are pruned: patterns, files, and what is wrong with them."""

import json

import pytest

from effdl.compression.prune.amounts import EQUAL, excluded, layer_amounts
from effdl.utils.errors import UserError

NAMES = ["0", "3.conv1", "3.conv2", "15"]


def test_patterns():
    assert layer_amounts(NAMES, [], None) == [EQUAL] * 4
    assert layer_amounts(NAMES, ["0", "*.conv2"], None) == [0, EQUAL, 0, EQUAL]
    assert excluded(NAMES, ["3.*"]) == {"3.conv1", "3.conv2"}
    assert excluded(NAMES, ["1?", "[0-2]"]) == {"15", "0"}


def test_a_pattern_that_fits_no_layer():
    with pytest.raises(UserError, match=r"exclude=conv9: fits no layer \(layers: 0, 3.conv1, 3.conv2, 15\)"):
        layer_amounts(NAMES, ["0", "conv9"], None)


def test_a_file(tmp_path):
    path = tmp_path / "amounts.json"
    path.write_text(json.dumps({"0": 0, "3.conv2": 0.75, "15": 0.5}))
    assert layer_amounts(NAMES, [], str(path)) == [0, 0, 0.75, 0.5]
    assert layer_amounts(NAMES, ["15"], str(path)) == [0, 0, 0.75, 0]


@pytest.mark.parametrize(
    "text", ["{", "[0.5]", '{"0": 1.0}', '{"0": -0.1}', '{"0": "0.5"}', '{"0": NaN}', '{"8": 0.5}']
)
def test_a_file_that_is_wrong(tmp_path, text):
    path = tmp_path / "amounts.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"amounts={path}"):
        layer_amounts(NAMES, [], str(path))


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        layer_amounts(NAMES, [], str(tmp_path / "none.json"))
