"""Weight sharing by k-means."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from effdl.compression.quantize.kmeans import Codebook, first_centroids, lloyd, nearest
from effdl.nn.layers import weights
from effdl.nn.mask import mask_of
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.utils.errors import UserError


def values(count, seed=0):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sort().values


def naive(points, centroids, iterations):
    """k-means by the book: every distance, every mean."""
    points, centroids = points.numpy(), centroids.numpy().copy()
    for _ in range(iterations):
        nearest = np.abs(points[:, None] - centroids).argmin(1)
        for cluster in set(nearest):
            centroids[cluster] = points[nearest == cluster].mean()
    return torch.from_numpy(centroids)


def distinct(model):
    """Number of different non-zero values of each layer."""
    tensors = [getattr(module, name).detach() for _, module, name in weights(model)]
    return [len(tensor[tensor != 0].unique()) for tensor in tensors]


@pytest.mark.parametrize("init", ["linear", "density", "random"])
@pytest.mark.parametrize("clusters", [2, 16, 64])
@pytest.mark.parametrize("iterations", [1, 7, 300])
def test_it_is_k_means(init, clusters, iterations):
    points = values(500)
    torch.manual_seed(0)
    start = first_centroids(points, clusters, init)
    assert len(start) == clusters
    assert torch.allclose(lloyd(points, start, iterations), naive(points, start, iterations), atol=1e-12)


def test_the_clusters_begin_where_they_should():
    points = torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 15], dtype=torch.float64)
    assert first_centroids(points, 4, "linear").tolist() == [0, 5, 10, 15]
    assert first_centroids(points, 4, "density").tolist() == [1, 3, 5, 15]
    torch.manual_seed(0)
    drawn = first_centroids(points, 4, "random")
    assert set(drawn.tolist()) < set(points.tolist())
    assert drawn.equal(drawn.sort().values)


def test_separate_clusters_are_found_and_an_empty_one_stays():
    points = torch.cat([values(50, seed) * 0.01 + mean for seed, mean in enumerate((-3.0, 1.0, 2.0))])
    found = lloyd(points, torch.tensor([-3.0, 0.0, 2.5, 9.0], dtype=torch.float64), 100)
    wanted = [points[:50].mean(), points[50:100].mean(), points[100:].mean(), 9.0]
    assert found.tolist() == pytest.approx([float(mean) for mean in wanted], abs=1e-9)


def test_the_nearest_centroid_is_chosen():
    points, centroids = values(200), values(16, seed=1)
    assert nearest(points, centroids).equal((points[:, None] - centroids).abs().argmin(1))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_layer_has_at_most_two_to_the_bits_values(bits, dense, trainer, compress):
    model = materialize_parametrizations(compress("kmeans", dense, trainer, bits))
    assert max(distinct(model)) <= 2**bits
    assert distinct(model)[3] > 2**bits * 0.7  # of 1,152 weights; some clusters are empty
    assert trainer.asked == [(4, 0.002, 0)]  # half of the run's eight epochs


def test_linear_layers_may_have_other_bits(dense, trainer, compress):
    *convolutions, linear = distinct(compress("kmeans", dense, trainer, 4, linear_bits=2))
    assert linear == 4
    assert max(convolutions) == 16


def test_the_gradient_of_a_value_is_the_sum_over_its_weights():
    codebook = Codebook(torch.tensor([0.5, -1.0, 2.0]), torch.tensor([[0, 1, 2], [2, 0, 0]], dtype=torch.uint8))
    weight = torch.tensor([[1.0, 1, 1], [1, 0, 1]])  # one is pruned
    shared = codebook(weight)
    assert shared.tolist() == [[0.5, -1, 2], [2, 0, 0.5]]
    shared.backward(torch.tensor([[1.0, 10, 100], [1000, 10_000, 100_000]]))
    assert codebook.centroids.grad.tolist() == [100_001, 10, 1100]


def test_training_moves_the_values_and_not_the_clusters(dense, trainer, compress):
    before = compress("kmeans", copy.deepcopy(dense), trainer, 1, epochs=0)
    after = compress("kmeans", dense, trainer, 1, epochs=2)
    for (name, a, _), (_, b, _) in zip(weights(before), weights(after), strict=True):
        first, second = a.parametrizations.weight, b.parametrizations.weight
        assert first[0].index.equal(second[0].index), name
        assert not first[0].centroids.equal(second[0].centroids), name
        assert first.original.equal(second.original), name
    [(images, labels)] = trainer.calibration_batches(640, 640)
    losses = [F.cross_entropy(before.train()(images), labels).item()]
    values = {name: tensor for name, tensor in after.state_dict().items() if name.endswith("centroids")}
    before.load_state_dict(values, strict=False)
    losses.append(F.cross_entropy(before(images), labels).item())
    assert losses[1] < losses[0]
    before.eval().load_state_dict(after.state_dict())  # as a resumed run does
    assert all(a.weight.equal(b.weight) for (_, a, _), (_, b, _) in zip(weights(before), weights(after), strict=True))


def test_sixteen_values_are_enough(dense, trainer, compress):
    wanted = trainer.accuracy(dense)
    assert trainer.accuracy(compress("kmeans", dense, trainer, 4)) >= wanted - 0.01


def test_pruned_weights_stay_zero_and_take_no_value(pruned, trainer, compress):
    model, zeros = pruned
    model = compress("kmeans", model, trainer, 2)
    assert max(distinct(model)) == 4
    for (_, module, _), zero in zip(weights(model), zeros, strict=True):
        assert module.weight[zero].eq(0).all()
        assert module.weight[~zero].ne(0).all()
    [first, *_] = [module for _, module, _ in weights(model)]
    mask_of(first, "weight").keep.zero_()  # as another pruning would
    assert first.weight.eq(0).all()


def test_a_layer_of_zeros_is_left_alone(trainer, compress):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 10))
    nn.init.zeros_(model[2].weight)
    model = compress("kmeans", model, trainer, 4, epochs=0)
    assert [parametrize.is_parametrized(layer) for layer in model] == [False, True, False]


def test_the_permanent_model_computes_the_same(dense, trainer, compress):
    model = compress("kmeans", dense, trainer, 4)
    images = trainer.calibration_batches(64)[0][0]
    assert torch.equal(model(images), materialize_parametrizations(model)(images))
    assert quant_grids(model) == {}


@pytest.mark.parametrize(
    ("key", "value"), [("level", 9), ("level", 0), ("linear_bits", 9), ("init", "best"), ("iterations", 0)]
)
def test_wrong_values_are_refused(key, value, dense, trainer, compress):
    with pytest.raises(UserError, match=rf"compression\.kmeans\.{key}={value}: allowed is "):
        compress("kmeans", dense, trainer, **{"level": 4, key: value})
