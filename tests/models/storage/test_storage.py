"""The stored model: identical back, and near the entropy of what it holds."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from effdl.models import storage
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet
from effdl.nn.fake_quant import QuantGrid

FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn]
OTHERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool]
MODEL = {"config": {"_target_": "effdl.models.mlp.mlp", "hidden": [3], "width": 1.0}, "classes": 10, "text": "é"}


def bits(tensor):
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_identical(found, state):
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert bits(found[name]) == bits(tensor), name


def round_trip(tmp_path, state, grids=None):
    path = tmp_path / "model.safetensors"
    length = storage.write(path, state, MODEL, grids)
    assert length == path.stat().st_size
    found, model = storage.read(path)
    assert model == MODEL
    assert_identical(found, state)
    rows = storage.breakdown(path)
    assert list(rows) == [*state, ""]
    assert sum(row["bytes"] for row in rows.values()) == length
    assert min(row["bytes"] for row in rows.values()) >= 0
    return path


def random_bits(generator, shape, dtype):
    """Any bits whatever: NaN payloads, infinities, subnormal numbers, -0.0."""
    width = dtype.itemsize
    values = torch.randint(0, 2 if dtype == torch.bool else 256, (math.prod(shape) * width,), generator=generator)
    return values.to(torch.uint8).view(dtype).reshape(shape)


# --- identical back


@pytest.mark.parametrize("dtype", FLOATS + OTHERS, ids=str)
def test_every_type_of_any_bits_shape_and_sparsity(tmp_path, dtype):
    generator = torch.Generator().manual_seed(0)
    state = {}
    for shape in [(), (0,), (1,), (7,), (3, 0, 2), (2, 3, 5), (64, 33), (4, 3, 3, 3)]:
        dense = random_bits(generator, shape, dtype)
        state[f"{shape}"] = dense
        state[f"{shape}.zero"] = torch.zeros_like(dense)
        keep = random_bits(generator, shape, torch.bool) & random_bits(generator, shape, torch.bool)
        state[f"{shape}.sparse"] = torch.where(keep, dense, torch.zeros_like(dense))
    round_trip(tmp_path, state)


@pytest.mark.parametrize("seed", range(40))
def test_any_mixture_of_tensors(tmp_path, seed):
    generator, choose = torch.Generator().manual_seed(seed), random.Random(seed)
    state = {}
    for number in range(choose.randint(0, 8)):
        dtype = choose.choice(FLOATS + OTHERS)
        shape = [choose.randint(0, 9) for _ in range(choose.randint(0, 4))]
        tensor = random_bits(generator, shape, dtype)
        zeroed = torch.rand(shape, generator=generator) < choose.choice([0, 0.02, 0.2, 0.5, 0.95, 1])
        state[f"layer{number}.ü"] = torch.where(zeroed, torch.zeros_like(tensor), tensor)
    round_trip(tmp_path, state)


def test_special_values(tmp_path):
    patterns = [0x80000000, 0x7FC00001, 0xFF800001, 0x7F800000, 1, 0x80000001, 0]
    values = torch.tensor(patterns, dtype=torch.int64).to(torch.int32).view(torch.float32)
    assert math.copysign(1, values[0].item()) == -1
    round_trip(tmp_path, {"a": values, "b": torch.cat([values, torch.zeros(100)])})


def test_strides_views_and_shared_memory(tmp_path):
    base = torch.randn(8, 6, 3, 3)
    state = {
        "channels_last": base.to(memory_format=torch.channels_last),
        "transposed": torch.randn(5, 7).T,
        "slice": torch.randn(10, 10)[::2, 3:7],
        "expanded": torch.randn(1, 4).expand(3, 4),
        "parameter": nn.Parameter(base),
        "tied": base,
    }
    found, _ = storage.read(round_trip(tmp_path, state))
    assert all(tensor.is_contiguous() for tensor in found.values())
    found["tied"].zero_()  # writable, and no longer shared
    assert torch.equal(found["parameter"], base)


def test_a_model_with_batch_norm(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2)).half()
    round_trip(tmp_path, model.state_dict())


def test_nothing_at_all(tmp_path):
    round_trip(tmp_path, {})


def test_equal_models_give_equal_files(tmp_path):
    state = {"a": torch.randn(1000), "b": torch.arange(10)}
    storage.write(tmp_path / "1", state, MODEL)
    storage.write(tmp_path / "2", {name: tensor.clone() for name, tensor in state.items()}, dict(MODEL))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


# --- small


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.99])
def test_a_sparse_tensor_costs_its_values_and_the_entropy_of_its_mask(tmp_path, sparsity):
    count = 200_000
    weight = torch.randn(count, generator=torch.Generator().manual_seed(1))
    weight[torch.randperm(count, generator=torch.Generator().manual_seed(2))[: round(count * sparsity)]] = 0
    size = storage.write(tmp_path / "x", {"weight": weight}, {})
    values = (1 - sparsity) * count * 4
    assert size <= values + 1.06 * entropy(sparsity) * count / 8 + 600


def test_a_dense_model_is_smaller_than_its_numbers(tmp_path):
    weight = torch.randn(200_000, generator=torch.Generator().manual_seed(1)) * 0.05
    size = storage.write(tmp_path / "x", {"weight": weight}, {})
    assert 0.8 * 4 * 200_000 < size < 0.95 * 4 * 200_000


def test_noise_is_never_made_larger(tmp_path):
    noise = random_bits(torch.Generator().manual_seed(0), (100_000,), torch.float32)
    assert storage.write(tmp_path / "x", {"noise": noise}, {}) <= 400_000 + 600


def test_an_all_zero_tensor_costs_next_to_nothing(tmp_path):
    assert storage.write(tmp_path / "x", {"weight": torch.zeros(1000, 1000)}, {}) < 600


def information(values):
    """Empirical entropy of all values together, in bytes."""
    _, counts = np.unique(np.asarray(values), return_counts=True)
    return -(counts * np.log2(counts / counts.sum())).sum() / 8


def bound(state, codes):
    """Sum of the entropies of masks and codes; everything else at the entropy of the bytes, by their place."""
    total = sum(information(code) for code in codes.values())
    rest = [tensor.reshape(-1) for name, tensor in state.items() if name not in codes and tensor.is_floating_point()]
    planes = torch.cat(rest).view(torch.uint8).reshape(-1, 4).numpy()
    return total + sum(information(plane) for plane in planes.T)


def layers(model):
    return [name for name, tensor in model.state_dict().items() if tensor.dim() > 1]


def test_lenet_pruned_and_clustered_comes_near_its_entropy(tmp_path):
    """LeNet-300-100 at 8 % density with 32 clusters; Han et al. 2016 report 27 KB, 40x."""
    torch.manual_seed(0)
    model = mlp(1, 28, 10)
    state, codes = model.state_dict(), {}
    for name in layers(model):
        weight = torch.randn(state[name].shape)
        largest = weight.abs() >= weight.abs().quantile(0.92)
        clusters = (weight * 5).round().clamp(-16, 16)
        state[name] = torch.where(largest, clusters * 0.0123 + 0.004, 0.0)
        codes[name] = torch.where(largest, clusters, 99.0)
    path = round_trip(tmp_path, state)
    entropy, size = bound(state, codes), path.stat().st_size
    print(f"LeNet-300-100: {size} bytes, entropy {entropy:.0f}, {4 * 266_610 / size:.1f}x")
    assert size < 1.03 * entropy + 600
    assert size < 27_000


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_a_quantized_resnet20_comes_near_its_entropy(tmp_path, bits):
    torch.manual_seed(0)
    model = resnet(3, 32, 10, depth=20)
    state, codes, grids = model.state_dict(), {}, {}
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if bits > 1 else (-1, 1)
    for name in layers(model):
        weight = torch.randn(state[name].shape)
        codes[name] = (weight * high / 2).round().clamp(low, high) + 0.0 if bits > 1 else weight.sign()
        grids[name] = QuantGrid(torch.tensor(0.01 + 0.001 * len(grids)), bits)
        state[name] = codes[name] * grids[name].scale
    path = round_trip(tmp_path, state, grids)
    entropy, size = bound(state, codes), path.stat().st_size
    print(f"ResNet-20, {bits} bits: {size} bytes, entropy {entropy:.0f}")
    assert size < 1.03 * entropy + 1100  # 116 tensors have names
    widths = {name: row["bits"] for name, row in storage.breakdown(path).items() if name in grids}
    assert widths == dict.fromkeys(grids, bits)


# --- grids


def assert_grids(path, grids):
    found = storage.quant_grids(path)
    assert {name: grid.bits for name, grid in found.items()} == {name: grid.bits for name, grid in grids.items()}
    for name, grid in grids.items():
        assert_identical({"scale": found[name].scale}, {"scale": grid.scale})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_code_of_every_width_and_scale(tmp_path, bits, dtype):
    codes = torch.arange(-(1 << bits - 1), 1 << bits - 1) if bits > 1 else torch.tensor([-1, 1])
    codes = codes.repeat(6, 3).to(dtype)
    state, grids = {}, {}
    for name, scale in (
        ("tensor", torch.tensor(0.0371)),
        ("row", torch.rand(6, 1) + 1e-3),
        ("column", torch.rand(codes.shape[1])),
        ("tiny", torch.tensor(1.2e-6)),
    ):
        grids[name] = QuantGrid(scale.to(dtype), bits)
        state[name] = codes * grids[name].scale
    if dtype == torch.float16:
        del state["tiny"], grids["tiny"]  # not exact below the smallest normal number
    assert_grids(round_trip(tmp_path, state, grids), grids)


def test_masked_codes_are_stored_without_the_zeros(tmp_path):
    keep = torch.rand(50, 60, generator=torch.Generator().manual_seed(0)) < 0.4
    signs = torch.where(torch.randn(50, 60, generator=torch.Generator().manual_seed(1)) > 0, 0.5, -0.5)
    state = {"binary": torch.where(keep, signs, 0.0), "ternary": torch.where(keep, signs, 0.0), "all": signs}
    grids = {name: QuantGrid(torch.tensor(0.5), 2 if name == "ternary" else 1) for name in state}
    path = round_trip(tmp_path, state, grids)
    rows = storage.breakdown(path)
    assert {name: (row["kind"], row["bits"]) for name, row in rows.items() if name} == {
        "binary": ("sparse grid", 1),
        "ternary": ("sparse grid", 2),
        "all": ("dense grid", 1),
    }
    assert rows["all"]["bytes"] <= 50 * 60 / 8 + 8


def test_a_channel_of_scale_zero(tmp_path):
    scale = torch.tensor([[0.5], [0.0]])
    state = {"w": torch.tensor([[1.0, -1.0], [1.0, 1.0]]) * scale}
    round_trip(tmp_path, state, {"w": QuantGrid(scale, 4)})


WRONG = {
    "off the grid": ([0.5, 0.6], 0.5, 4),
    "the next float": ([0.5, float(np.nextafter(np.float32(1), np.float32(2)))], 0.5, 4),
    "minus zero": ([0.5, -0.0], 0.5, 4),
    "too large a code": ([0.5, 4.0], 0.5, 4),
    "too small a code": ([0.5, -4.5], 0.5, 4),
    "a bit of two": ([0.5, 1.0], 0.5, 1),
    "nan": ([0.5, math.nan], 0.5, 4),
    "infinity": ([0.5, math.inf], 0.5, 4),
    "scale zero": ([0.5, 0.0], 0.0, 4),
    "another shape": ([0.5, 0.5], [0.5, 0.5, 0.5], 4),
    "a larger shape": ([0.5, 0.5], [[0.5], [0.5]], 4),
    "no bits": ([0.5, 0.5], 0.5, 0),
    "too many bits": ([0.5, 0.5], 0.5, 9),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_on_its_grid_is_a_mistake_in_the_program(tmp_path, name):
    values, scale, bits = WRONG[name]
    with pytest.raises(RuntimeError, match=r"layer\.weight: "):
        storage.write(
            tmp_path / "x",
            {"layer.weight": torch.tensor(values)},
            {},
            {"layer.weight": QuantGrid(torch.tensor(scale), bits)},
        )
    assert not (tmp_path / "x").exists()


def test_a_grid_without_a_tensor_is_a_mistake_too(tmp_path):
    with pytest.raises(RuntimeError, match=r"\['v'\]"):
        storage.write(tmp_path / "x", {"w": torch.ones(2)}, {}, {"v": QuantGrid(torch.tensor(1.0), 4)})


# --- palettes


@pytest.mark.parametrize(
    ("colors", "zeros", "kind", "width"),
    [
        (1, 0, "dense palette", 1),
        (2, 0, "dense palette", 1),
        (2, 0.2, "sparse palette", 1),  # a third value would take another bit
        (3, 0.2, "dense palette", 2),
        (16, 0, "dense palette", 4),
        (16, 0.2, "sparse palette", 4),
        (20, 0.2, "dense palette", 5),
        (32, 0.92, "sparse palette", 5),
        (256, 0, "dense palette", 8),
        (256, 0.1, "sparse palette", 8),
        (257, 0, "dense", 32),
        (257, 0.9, "sparse", 32),
    ],
)
def test_few_distinct_values_become_a_palette(tmp_path, colors, zeros, kind, width):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(colors, generator=generator)
    weight = values[torch.arange(40_000) % colors]
    weight = torch.where(torch.rand(40_000, generator=generator) < zeros, 0.0, weight)
    path = round_trip(tmp_path, {"w": weight.reshape(200, 200)})
    row = storage.breakdown(path)["w"]
    assert (row["kind"], row["bits"]) == (kind, width)
    if "palette" in kind:
        assert row["bytes"] <= 40_000 * width / 8 + 40_000 / 8 + 4 * colors + 100


def test_a_palette_that_does_not_pay_is_left_out(tmp_path):
    state = {"few": torch.randn(20), "many": torch.randn(30)[torch.arange(300) % 30], "integers": torch.arange(9) + 1}
    rows = storage.breakdown(round_trip(tmp_path, state))
    assert [rows[name]["kind"] for name in state] == ["dense", "dense palette", "dense"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_palette_of_special_values(tmp_path, dtype):
    values = torch.tensor([0.0, -0.0, math.nan, math.inf, -math.inf, 1e-7, 3.0]).to(dtype)
    state = {"w": values.repeat(100), "sparse": torch.cat([values.repeat(100), torch.zeros(2000, dtype=dtype)])}
    rows = storage.breakdown(round_trip(tmp_path, state))
    assert (rows["w"]["kind"], rows["sparse"]["kind"]) == ("dense palette", "sparse palette")


# --- what each tensor takes


def test_the_bytes_go_to_those_who_cause_them(tmp_path):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(400, 100, generator=generator)

    def pruned(sparsity):
        return torch.where(torch.rand(400, 100, generator=generator) < sparsity, 0.0, weight)

    state = {"dense": weight, "half": pruned(0.5), "rare": pruned(0.98), "none": torch.zeros(400, 100)}
    state["fp16"] = weight.half()
    rows = storage.breakdown(round_trip(tmp_path, state))
    assert [(rows[name]["kind"], rows[name]["bits"]) for name in state] == [
        ("dense", 32),
        ("sparse", 32),
        ("sparse", 32),
        ("sparse", 32),
        ("dense", 16),
    ]
    plain = rows["dense"]["bytes"]
    assert 0.8 * 160_000 < plain < 0.95 * 160_000
    assert rows["half"]["bytes"] == pytest.approx(plain / 2 + entropy(0.5) * 5000, rel=0.08)
    assert rows["rare"]["bytes"] == pytest.approx(plain * 0.02 + entropy(0.02) * 5000, rel=0.3)
    assert rows["none"]["bytes"] < 0.2 * rows["rare"]["bytes"]
    assert rows[""]["bytes"] < 700
