"""Scores against the papers' own rows, the rules' own examples, and formulas written out a second time."""

import subprocess
import sys

import pytest

from effdl.measure.layers import per_layer
from effdl.measure.macs import macs
from effdl.measure.scores import (
    CIFAR100,
    IMAGENET,
    average_ranks,
    course_columns,
    course_score,
    dcase_columns,
    micronet_columns,
    micronet_operations,
    micronet_score,
    micronet_storage,
    model_kb,
    training_cost,
    training_cost_columns,
)
from effdl.measure.size import count
from effdl.models.resnet import resnet

# A dense row and what became of it: half of the parameters and a quarter of the MACs left, half of those zero.
DENSE = {
    "top1": 0.95,
    "params": 1000,
    "params_nonzero": 1000,
    "macs": 40_000,
    "weight_bits": 32.0,
    "activation_bits": 32.0,
}
SMALL = {
    "top1": 0.899,
    "params": 500,
    "params_nonzero": 250,
    "macs": 10_000,
    "weight_bits": 4.0,
    "activation_bits": 8.0,
}


@pytest.mark.parametrize(
    ("power_w", "hours", "kwh_pue", "co2e_lbs"),
    [(1515.43, 84, 201, 192), (517.66, 336, 275, 262), (1515.43, 274_120, 656_347, 626_155)],
    ids=["Transformer_big", "ELMo", "NAS"],
)
def test_training_cost_gives_the_rows_of_strubell_et_al(power_w, hours, kwh_pue, co2e_lbs):
    cost = training_cost(power_w, hours, "P100x8")
    assert (round(cost.kwh_pue), round(cost.co2e_lbs)) == (kwh_pue, co2e_lbs)
    assert (cost.hardware, cost.power_w, cost.hours) == ("P100x8", power_w, hours)


def test_training_cost_of_a_run_has_its_mean_power():
    columns = training_cost_columns(84 * 3600, 1515.43 * 84 / 1000, "P100x8")
    assert columns["training_power_w"] == pytest.approx(1515.43)
    assert round(columns["training_kwh_pue"]) == 201
    unknown = training_cost_columns(3600, None, "CPU")
    assert unknown["training_hardware"] == "CPU"
    assert [unknown[f"training_{key}"] for key in ("power_w", "hours", "kwh_pue", "co2e_lbs")] == [None] * 4


def test_course_score_of_the_reference_is_two():
    """ResNet-18 of the course: 11.17 M weights and 0.56 G MACs, in half precision."""
    assert course_score(2 * 5.6e6, 2 * 2.8e8, 16, 16) == 2
    assert course_score(11_173_962, 555_422_720, 16, 16) == pytest.approx(0.997675 + 0.991826, abs=1e-5)


def test_course_score_by_hand():
    """w = 5.6e6, f = 2.8e8: (1 - 0.2 - 0.3) 8/32 + (1 - 0.2) 16/32 = 0.125 + 0.4."""
    assert course_score(5.6e6, 2.8e8, 8, 16, structured=0.2, unstructured=0.3) == pytest.approx(0.525)
    assert course_score(5.6e6, 2.8e8, 16, 8, structured=0.2, unstructured=0.3) == pytest.approx(0.25 + 0.4)


def test_course_columns_come_from_the_dense_row():
    columns = course_columns(SMALL, DENSE)
    assert (columns["course_p_s"], columns["course_p_s_macs"], columns["course_p_u"]) == (0.5, 0.75, 0.25)
    # What is left, counted directly: 250 weights of 4 bits; 10,000 MACs of 8 bits.
    assert columns["course_score"] == pytest.approx(250 * 4 / 32 / 5.6e6 + 10_000 * 8 / 32 / 2.8e8)
    assert columns["course_reached"] is False
    assert course_columns({**SMALL, "top1": 0.9}, DENSE)["course_reached"] is True
    assert course_columns(DENSE, DENSE)["course_p_u"] == 0


@pytest.mark.parametrize("key", ["params", "params_nonzero", "macs", "weight_bits", "activation_bits"])
def test_course_score_is_none_where_an_input_is(key):
    assert course_columns({**SMALL, key: None}, DENSE)["course_score"] is None
    assert course_columns(SMALL, None)["course_score"] is None
    assert course_columns({**SMALL, "top1": None}, DENSE)["course_reached"] is None


@pytest.mark.parametrize(("bits", "score"), [(32, 2.0), (16, 1.25)])
def test_micronet_score_of_the_reference(bits, score):
    """MobileNetV2-1.4: 6.9 M parameters, 585 M MACs; in 16 bits its sums still have 32: 1/2 + (1/2 + 1)/2."""
    storage = micronet_storage([(6_900_000, 6_900_000, bits)])
    operations = micronet_operations([(585e6, bits)])
    assert micronet_score(storage, operations, IMAGENET) == pytest.approx(score)
    assert IMAGENET.operations == 2 * 585e6


def test_micronet_storage_has_a_mask_where_it_pays():
    assert micronet_storage([(3200, 320, 8)]) == (320 * 8 + 3200) / 32  # a tenth of 8-bit values, a mask
    assert micronet_storage([(3200, 3200, 8)]) == 3200 * 8 / 32
    assert micronet_storage([(3200, 3199, 1)]) == 3200 / 32  # 1-bit values: the mask would cost more than it saves


def test_micronet_operations_agree_with_the_challenges_counter():
    """Its dot product of n terms has n multiplications and n - 1 additions, and one more for the bias."""
    channels, outputs, terms, sparsity = 64, 16 * 16, 9 * 32, 0.75
    nonzero = int(terms * (1 - sparsity))
    multiplications = nonzero * outputs * channels
    additions = (nonzero - 1) * outputs * channels + outputs * channels
    assert micronet_operations([(nonzero * outputs * channels, 8)]) == multiplications * 8 / 32 + additions * 32 / 32


def micronet_row(model, shape):
    return {**count(model), **macs(model, shape)}, per_layer(model, shape)


def test_micronet_columns_of_a_network_fold_its_batch_norms():
    model = resnet(3, 32, 100, depth=20)
    row, layers = micronet_row(model, (3, 32, 32))
    columns = micronet_columns(row, layers, CIFAR100)
    # Every batch norm has 2 parameters per channel and becomes 1 bias; everything may count as 16-bit.
    normed = sum(module.num_features for module in model.modules() if type(module).__name__ == "BatchNorm2d")
    assert normed > 0
    assert columns["micronet_storage"] == (row["params"] - normed) * 16 / 32
    assert columns["micronet_operations"] == row["macs"] * (16 + 32) / 32
    expected = columns["micronet_storage"] / 36.5e6 + columns["micronet_operations"] / 10.49e9
    assert columns["micronet_score"] == pytest.approx(expected)


def test_micronet_columns_lose_the_free_16_bits_when_anything_has_fewer():
    layer = {"shape": [4, 8], "params": 36, "weights": 32, "weights_nonzero": 8, "macs": 32, "macs_nonzero": 8}
    row = {"params": 36, "macs": 32}
    plain = micronet_columns(row, [{**layer, "weight_bits": 32, "activation_bits": 32}], CIFAR100)
    assert plain["micronet_storage"] == (8 * 16 + 32 + 4 * 16) / 32
    assert plain["micronet_operations"] == 8 * (16 + 32) / 32
    small = micronet_columns(row, [{**layer, "weight_bits": 4, "activation_bits": 8}], CIFAR100)
    assert small["micronet_storage"] == (8 * 4 + 32 + 4 * 32) / 32
    assert small["micronet_operations"] == 8 * (8 + 32) / 32


def test_micronet_columns_are_none_without_layers():
    assert set(micronet_columns({"params": 1, "macs": 1}, [], CIFAR100).values()) == {None}


@pytest.mark.parametrize(("parameters", "kb"), [(115_219, 450.1), (119_758, 467.8)], ids=["baseline", "Ooi et al."])
def test_dcase_size_of_published_systems(parameters, kb):
    """The baseline of DCASE 2020 task 1b (450 KB) and the ensemble of Ooi et al. (468 KB), both in 32 bits."""
    assert round(model_kb([(parameters, 32)]), 1) == kb


def test_dcase_columns():
    layer = {"weights_nonzero": 800, "weight_bits": 8}
    columns = dcase_columns({"params_nonzero": 1000}, [layer], ["magnitude", "int8"])
    assert columns["dcase_size_kb"] == (800 * 8 + 200 * 32) / 8 / 1024
    assert columns["dcase_complexity_management"] == "magnitude, int8"
    half = dcase_columns({"params_nonzero": 1000}, [{**layer, "weight_bits": 16}], [])
    assert half == {"dcase_size_kb": 1000 * 16 / 8 / 1024, "dcase_complexity_management": "-"}
    assert dcase_columns({"params_nonzero": 1000}, [], [])["dcase_size_kb"] is None


def test_average_ranks_agree_with_pandas():
    pandas = pytest.importorskip("pandas")
    entries = [(-0.9, 0.3, 100), (-0.8, 0.3, 50), (-0.9, 0.2, 50), (-0.7, 0.9, 50)]
    expected = pandas.DataFrame(entries).rank(method="average").mean(axis=1)
    assert average_ranks(entries) == pytest.approx(list(expected))


def test_average_ranks_leave_out_what_was_not_measured():
    assert average_ranks([(1, 2), (None, 1), (2, 3)]) == [1, None, 2]
    assert average_ranks([]) == []


def test_scores_need_no_torch():
    code = "import sys, effdl.measure.scores; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
