"""Factors of a layer: the same function at full rank, the known error below it, the costs that are promised."""

import pytest
import torch
from torch import nn

from effdl.compression.factorize.factors import spatial, svd, tucker, tucker2
from effdl.compression.factorize.positions import trace

CONVOLUTIONS = {
    "plain": {"kernel_size": 3, "padding": 1},
    "strided": {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False},
    "oblong": {"kernel_size": (5, 3), "stride": (1, 2), "padding": (2, 0), "dilation": (1, 2)},
    "same": {"kernel_size": (5, 3), "padding": "same"},
    "reflecting": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
}


def factors(kind, layer, shape=(12, 11, 9)):
    """The factors of a layer alone, for an image."""
    layer.eval()
    _, positions = trace(nn.Sequential(layer), shape)
    return kind(layer, positions[layer])


def cases():
    torch.manual_seed(0)
    for kind in (svd, tucker, spatial):
        for name, options in CONVOLUTIONS.items():
            yield pytest.param(kind, nn.Conv2d(12, 10, **options), (12, 11, 9), id=f"{kind.__name__}-{name}")
    yield pytest.param(svd, nn.Conv2d(12, 10, 1, stride=2), (12, 11, 9), id="svd-1x1")
    yield pytest.param(svd, nn.Linear(9, 7), (4, 5, 9), id="svd-linear")
    yield pytest.param(svd, nn.Linear(9, 7, bias=False), (4, 5, 9), id="svd-linear-without-bias")


LAYERS = list(cases())


def full(found):
    return [len(spectrum) for spectrum in found.spectra]


@pytest.mark.parametrize(("kind", "layer", "shape"), LAYERS)
def test_at_full_rank_the_function_is_the_same(kind, layer, shape):
    found = factors(kind, layer, shape)
    product = found.build(*full(found))
    x = torch.randn(2, *shape)
    with torch.no_grad():
        assert (product(x) - layer(x)).abs().max() < 1e-5
    assert [part.bias is not None for part in product] == [False] * (len(product) - 1) + [layer.bias is not None]


@pytest.mark.parametrize(("kind", "layer", "shape"), LAYERS)
def test_weights_and_macs_are_those_promised(kind, layer, shape):
    found = factors(kind, layer, shape)
    assert full(found) == [min(size) for size in unfoldings(kind, layer)]
    for ranks in ([1 for _ in found.spectra], [3, 5][: len(found.spectra)], [full(found)[0], 1][: len(found.spectra)]):
        product = found.build(*ranks)
        promised = [weight for weight in found.weights(*ranks) if weight]
        assert [part.weight.numel() for part in product] == promised
        macs, _ = trace(product, shape)
        assert macs == sum(weight * uses for weight, uses in zip(found.weights(*ranks), found.uses, strict=True))


def unfoldings(kind, layer):
    """Sizes of the matrices whose ranks are chosen."""
    outputs, inputs, *window = layer.weight.shape
    if kind is tucker:
        rest = window[0] * window[1]
        return [(outputs, inputs * rest), (inputs, outputs * rest)]
    if kind is spatial:
        return [(inputs * window[0], outputs * window[1])]
    return [(outputs, layer.weight[0].numel())]


def kernel_of(product):
    """The kernel that a 1x1 after a convolution, or a row after a column, amounts to."""
    first, last = (part.weight.detach().double() for part in product)
    if last.dim() == 2:
        return last @ first
    return torch.einsum("rcij,nrkl->ncikjl", first, last).flatten(4).flatten(2, 3)


@pytest.mark.parametrize("kind", [svd, spatial])
@pytest.mark.parametrize("rank", [1, 4, 9])
def test_the_error_is_eckart_and_young_s(kind, rank):
    torch.manual_seed(1)
    layer = nn.Conv2d(12, 10, 3, padding=1)
    found = factors(kind, layer)
    weight = layer.weight.detach().double()
    unfolded = weight.flatten(1) if kind is svd else weight.permute(1, 2, 0, 3).reshape(36, 30)
    values = torch.linalg.svdvals(unfolded).square()
    error = (kernel_of(found.build(rank)) - weight).square().sum()
    assert float(error) == pytest.approx(float(values[rank:].sum()), rel=1e-5)
    torch.testing.assert_close(found.spectra[0], values / values.sum())
    assert float(error / weight.square().sum()) == pytest.approx(1 - float(found.spectra[0][:rank].sum()), rel=1e-5)


def test_a_linear_layer_of_low_rank_is_found_again():
    torch.manual_seed(0)
    layer = nn.Linear(30, 20)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(20, 3) @ torch.randn(3, 30))
    found = factors(svd, layer, (1, 2, 30))
    torch.testing.assert_close(kernel_of(found.build(3)).float(), layer.weight.detach())
    assert float(found.spectra[0][3:].sum()) < 1e-12


@pytest.mark.parametrize("ranks", [(4, 3), (10, 5), (7, 12), (1, 1), (10, 12)])
def test_tucker_is_tensorly_s(ranks):
    tensorly = pytest.importorskip("tensorly")
    from tensorly.decomposition import partial_tucker

    torch.manual_seed(2)
    kernel = torch.randn(10, 12, 3, 3, dtype=torch.float64)
    u, core, v = tucker2(kernel, *ranks)
    assert core.shape == (*ranks, 3, 3)
    for basis in (u, v):
        torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.float64))
    ours = torch.einsum("oihw,no,ci->nchw", core, u, v)
    (other_core, other), _ = partial_tucker(kernel.numpy(), rank=list(ranks), modes=[0, 1], n_iter_max=200, tol=1e-12)
    theirs = torch.from_numpy(tensorly.tenalg.multi_mode_dot(other_core, other, modes=[0, 1]))
    error, reference = (kernel - ours).norm(), (kernel - theirs).norm()
    assert float(error) <= 1.002 * float(reference) + 1e-9  # theirs iterates to the end
    if max(ranks) == 12 and min(ranks) == 10:
        assert float(error) < 1e-9


def test_a_tucker_product_is_its_kernel_and_within_its_bound():
    torch.manual_seed(3)
    layer = nn.Conv2d(12, 10, 3)
    found = factors(tucker, layer)
    first, core, last = (part.weight.detach().double() for part in found.build(4, 6))
    assert (first.shape, core.shape, last.shape) == ((6, 12, 1, 1), (4, 6, 3, 3), (10, 4, 1, 1))
    weight = layer.weight.detach().double()
    kernel = torch.einsum("oihw,no,ic->nchw", core, last[:, :, 0, 0], first[:, :, 0, 0])
    error = float((kernel - weight).square().sum() / weight.square().sum())
    tails = [float(spectrum[rank:].sum()) for spectrum, rank in zip(found.spectra, (4, 6), strict=True)]
    assert max(tails) <= error <= sum(tails)


def test_a_mode_of_full_rank_has_no_factor():
    found = factors(tucker, nn.Conv2d(12, 10, 3))
    assert [tuple(part.weight.shape[:2]) for part in found.build(10, 4)] == [(4, 12), (10, 4)]
    assert [tuple(part.weight.shape[:2]) for part in found.build(4, 12)] == [(4, 12), (10, 4)]


@pytest.mark.parametrize("kind", [svd, tucker, spatial])
def test_type_and_layout_are_the_layer_s(kind):
    layer = nn.Conv2d(12, 10, 3).to(torch.float64, memory_format=torch.channels_last)
    product = factors(kind, layer).build(*(3 for _ in range(1 + (kind is tucker))))
    state = torch.get_rng_state()
    for part in product:
        assert part.weight.dtype == torch.float64
        assert part.weight.is_contiguous(memory_format=torch.channels_last)
        assert part.weight.requires_grad
        assert not part.training
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", [svd, tucker, spatial])
def test_a_layer_of_zeros_stays_one(kind):
    layer = nn.Conv2d(12, 10, 3, bias=False)
    nn.init.zeros_(layer.weight)
    found = factors(kind, layer)
    assert all(torch.count_nonzero(spectrum) == 0 for spectrum in found.spectra)
    assert torch.count_nonzero(found.build(*(2 for _ in found.spectra))(torch.randn(1, 12, 11, 9))) == 0
