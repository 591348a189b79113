"""The course's score by hand, and its columns from rows of stages."""

import pytest

from effdl.measure.course import course_columns, course_score, pruned_params

_SHARES = ("p_s", "p_s_macs", "p_u")
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


def test_course_score_of_the_reference_is_two():
    """ResNet-18 of the course: 11.17 M weights and 0.56 G MACs, in half precision."""
    assert course_score(2 * 5.6e6, 2 * 2.8e8, 16, 16) == 2
    assert course_score(11_173_962, 555_422_720, 16, 16) == pytest.approx(0.997675 + 0.991826, abs=1e-5)


def test_course_score_by_hand():
    """w = 5.6e6, f = 2.8e8: (1 - 0.2 - 0.3) 8/32 + (1 - 0.2) 16/32 = 0.125 + 0.4."""
    assert course_score(5.6e6, 2.8e8, 8, 16, structured=0.2, unstructured=0.3) == pytest.approx(0.525)
    assert course_score(5.6e6, 2.8e8, 16, 8, structured=0.2, unstructured=0.3) == pytest.approx(0.25 + 0.4)


def test_course_columns_come_from_the_dense_row():
    columns = course_columns(SMALL, DENSE, pruned=250, dataset="cifar10")
    assert (columns["course_p_s"], columns["course_p_s_macs"], columns["course_p_u"]) == (0.5, 0.75, 0.25)
    # What is left, counted directly: 250 weights of 4 bits; 10,000 MACs of 8 bits.
    assert columns["course_score"] == pytest.approx(250 * 4 / 32 / 5.6e6 + 10_000 * 8 / 32 / 2.8e8)
    # The formula as it is written has one p_s: half of the parameters is then half of the MACs.
    assert columns["course_score_one_p_s"] == pytest.approx(250 * 4 / 32 / 5.6e6 + 20_000 * 8 / 32 / 2.8e8)
    w, f, p_s, p_s_macs, p_u, q_w = (columns[f"course_{key}"] for key in ("w", "f", *_SHARES, "weight_bits"))
    first, second = (1 - (p_s + p_u)) * q_w / 32 * w / 5.6e6, (1 - p_s_macs) * max(q_w, 8) / 32 * f / 2.8e8  # by hand
    assert (columns["course_storage"], columns["course_operations"]) == (first, second)
    assert columns["course_score"] == first + second
    assert columns["course_zeros"] == 0
    assert course_columns(DENSE, DENSE, pruned=0)["course_p_u"] == 0


def test_zeros_that_rounding_made_count_as_weights():
    """2-bit weights of which 600 of 1000 are zero, and 100 of these were pruned."""
    row = {**DENSE, "params_nonzero": 400, "weight_bits": 2.0, "activation_bits": 2.0}
    columns = course_columns(row, DENSE, pruned=100)
    assert (columns["course_p_u"], columns["course_zeros"]) == (0.1, 0.5)
    assert columns["course_score"] == pytest.approx(900 * 2 / 32 / 5.6e6 + 40_000 * 2 / 32 / 2.8e8)


def test_int8_counts_as_eight_bits():
    """All but the first layer have 7-bit codes."""
    row = {**DENSE, "weight_bits": 12.0, "activation_bits": 8.0}
    layers = [{"weights": 200, "weight_bits": 32}, {"weights": 800, "weight_bits": 7}]
    columns = course_columns(row, DENSE, layers, pruned=0)
    bits = 0.2 * 32 + 0.8 * 8
    assert columns["course_weight_bits"] == bits
    assert columns["course_score"] == pytest.approx(1000 * bits / 32 / 5.6e6 + 40_000 * bits / 32 / 2.8e8)


@pytest.mark.parametrize(("dataset", "top1", "reached"), [
    ("cifar10", 0.9, True), ("cifar10", 0.899, False), ("cifar10", None, None), ("mnist", 0.99, None), (None, 0.9, None)
])  # fmt: skip
def test_the_line_is_that_of_cifar10(dataset, top1, reached):
    row = {**SMALL, "top1": top1}
    assert course_columns(row, DENSE, pruned=0, dataset=dataset)["course_reached"] is reached


@pytest.mark.parametrize("key", ["params", "params_nonzero", "macs", "weight_bits", "activation_bits"])
def test_course_score_is_none_where_an_input_is(key):
    assert course_columns({**SMALL, key: None}, DENSE, pruned=0)["course_score"] is None
    assert course_columns(SMALL, None, pruned=0)["course_score"] is None
    assert course_columns(SMALL, DENSE, pruned=None)["course_score"] is None


def test_what_was_pruned_is_recorded_or_was_zero_before_the_weights_had_fewer_bits():
    pruned, quantized = {**DENSE, "params_nonzero": 700}, {**DENSE, "params_nonzero": 400, "weight_bits": 2.0}
    assert pruned_params([DENSE, pruned]) == pruned_params([DENSE, pruned, quantized]) == 300
    assert pruned_params([DENSE, quantized]) == 0
    assert pruned_params([DENSE, {**quantized, "params_pruned": 250}]) == 250
    assert pruned_params([]) is None
    assert pruned_params([{"stage": "dense"}]) is None
