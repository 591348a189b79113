"""What a model would take is known without making it."""

import pytest
import torch
from torch import nn

from effdl.models import storage
from effdl.models.build import build
from effdl.models.outline import fill, missing, nbytes, outline
from effdl.models.resnet import resnet
from effdl.models.stored import load_model
from effdl.utils.errors import UserError


def test_an_outline_has_names_and_shapes_but_no_memory_and_draws_nothing():
    before = torch.get_rng_state()
    found = outline(lambda: resnet(3, 32, 10, depth=20))
    assert torch.equal(torch.get_rng_state(), before)
    model = resnet(3, 32, 10, depth=20)
    assert all(parameter.is_meta for parameter in found.parameters())
    assert {name: tensor.shape for name, tensor in found.state_dict().items()} == {
        name: tensor.shape for name, tensor in model.state_dict().items()
    }
    assert nbytes(found) == nbytes(model) == 4 * 269_722 + 4 * 2 * 688 + 8 * 19


class Table(nn.Module):
    """Tensors that no state dict holds."""

    def __init__(self):
        super().__init__()
        self.register_buffer("index", torch.zeros(3).long() + 1, persistent=False)
        self.plain = torch.ones(2)
        self.real = torch.arange(4)
        self.weight = nn.Parameter(torch.rand(5))


def test_what_an_outline_lacks_is_filled_in():
    found = outline(lambda: nn.Sequential(Table()))
    assert missing(found) == ["0.index", "0.plain"]
    fill(found, nn.Sequential(Table()))
    assert missing(found) == []
    assert (found[0].index.tolist(), found[0].plain.tolist(), found[0].real.tolist()) == (
        [1] * 3,
        [1.0] * 2,
        [0, 1, 2, 3],
    )
    assert found[0].weight.is_meta


@pytest.mark.parametrize(
    ("option", "name", "size"),
    [
        ("timm", "convit_tiny", 32),  # lacks indices
        ("torchvision", "swin_v2_t", 64),
        ("torchvision", "squeezenet1_1", 32),
    ],
)
def test_models_of_other_libraries_come_back(tmp_path, option, name, size):
    config = {"option": option, "name": name}
    model = build({**config, "weights": None}, 3, size, 10).eval()
    storage.write(
        tmp_path / "x", model.state_dict(), {"config": config, "channels": 3, "image_size": size, "classes": 10}
    )
    loaded, images = load_model(tmp_path / "x"), torch.randn(1, 3, size, size)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))


HUGE = {
    "mlp": ({"hidden": [100_000_000_000]}, "model.hidden=[100000000000]: allowed is a list [...] of which each is"),
    "mlp, products": (
        {"hidden": [2_000_000, 2_000_000]},
        "model.hidden=[2000000, 2000000]: the weights of this mlp take at least 16,001 GB; allowed is",
    ),
    "mlp, overflow": (
        {"hidden": [2**31 - 1] * 2, "width": 1000.0},
        "model.hidden=[2147483647, 2147483647], model.width=",
    ),
    "mlp, long": (
        {"hidden": [1] * 1001},
        "allowed is a list [...] of which each is a whole number >= 1 and <= 2147483647",
    ),
    "mlp, narrow": ({"width": 1e-30}, "model.width=1e-30: allowed is a number >= 0.001 and <= 1000"),
    "resnet": ({"width": 1000.0}, "model.width=1000.0: the weights of this resnet take at least 1,069 GB; allowed is"),
    "vit": ({"depth": 10**6}, "model.depth=1000000: allowed is a whole number >= 1 and <= 1000"),
    "vit, wide": (
        {"mlp_ratio": 1e300},
        "model.mlp_ratio=1e+300: the weights of this vit take at least",
    ),
}


@pytest.mark.parametrize("case", HUGE)
def test_a_model_that_no_memory_holds_is_refused_before_it_is_made(case):
    keys, message = HUGE[case]
    family = case.partition(",")[0]
    checked = {"trusted": "allowed is a " not in message}  # by the types, or by what the model would take
    with pytest.raises(UserError) as caught:
        build({"option": family, "weights": None, **keys}, 1, 8, 10, **checked)
    assert message in str(caught.value)
    assert "allowed is" in str(caught.value)
