"""The time of each layer in ONNX Runtime."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from effdl.deploy.layer_times import layer_times
from effdl.deploy.onnx import to_onnx
from effdl.models.mlp import mlp
from effdl.models.vit import vit
from effdl.nn.layers import weights

SHAPE = (3, 16, 16)


@pytest.fixture
def timed(tmp_path):
    """A factory of the rows of a model's layers."""

    def rows(model, grids=None):
        path = tmp_path / "model.onnx"
        to_onnx(model.eval(), grids or {}, SHAPE, path, "int8" if grids else "fp32")
        return layer_times(path, SHAPE, 1)

    return rows


def layers_of(model):
    """The names of a model's layers."""
    return [name for name, _, _ in weights(model)]


def test_each_layer_has_its_time(timed):
    model = mlp(3, 16, 10)
    rows = timed(model)
    assert [row["layer"] for row in rows if row["layer"]] == layers_of(model)
    assert all(row["time_us"] > 0 for row in rows)


def test_what_follows_a_layer_is_counted_with_it(timed, float_model):
    rows = {row["layer"]: row["kernels"] for row in timed(float_model("resnet"))}
    assert set(layers_of(float_model("resnet"))) <= set(rows)
    *_, last, classifier = rows.values()
    assert last[0] == "Conv"
    assert "ReduceMean" in last  # the pooling
    assert classifier == ["Gemm"]


def test_weights_that_were_transposed(timed):
    model = vit(3, 16, 10, dim=24, depth=1)
    found = {row["layer"]: row["kernels"] for row in timed(model)}
    assert set(layers_of(model)) <= set(found)
    assert all(found[name][0] == "MatMul" for name in layers_of(model)[1:-1])


def test_integers(timed, quantized_model):
    model, grids = quantized_model("resnet")
    found = {row["layer"]: row["kernels"] for row in timed(model, grids)}
    names = layers_of(model)
    assert set(names) <= set(found)
    assert sum(found[name][0] == "QLinearConv" for name in names) >= len(names) - 2


def test_a_large_layer_takes_longer(timed):
    rows = timed(nn.Sequential(nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 2, 1)))
    times = [row["time_us"] for row in rows]
    assert [row["layer"] for row in rows] == ["0", "1", "2"]
    assert times[1] > 3 * times[2]  # 85 times the operations


def test_names_that_only_look_like_weights(tmp_path):
    """A scale is no weight, and a file of others has what names it has."""
    scale = numpy_helper.from_array(np.float32(0.1), "0.weight_scale")
    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "W")
    nodes = [
        helper.make_node("Transpose", ["W"], ["W_t"], "first"),
        helper.make_node("Mul", ["images", "0.weight_scale"], ["scaled"], "second"),
        helper.make_node("MatMul", ["scaled", "W_t"], ["out"], "third"),
    ]
    ends = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 1, 1, 3])]
    ends.append(helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, 1, 4]))
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], [scale, weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "other.onnx")
    [row] = layer_times(tmp_path / "other.onnx", (1, 1, 3), 1)
    assert row["layer"] == ""
    assert row["time_us"] > 0
