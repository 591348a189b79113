import inspect
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from effdl.config.instantiate import locate
from effdl.models.build import build, dry_run
from effdl.utils.errors import UserError

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "model").glob("*.yaml"))
SIZES = [(1, 8), (1, 28), (3, 32), (3, 64), (3, 96)]


def load(path):
    return yaml.safe_load(path.read_text().replace("${dropout}", "0.0"))


def config(family, **options):
    return {"_target_": f"effdl.models.{family}", "weights": None, **options}


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_every_config_names_each_option_with_its_default(path):
    options = load(path)
    parameters = inspect.signature(locate(options.pop("_target_"))).parameters.values()
    assert (options.pop("weights"), options.pop("normalization")) == (None, None)  # of every model
    assert options == {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize(("channels", "size"), SIZES)
def test_every_config_takes_every_size(path, channels, size):
    model = build(load(path), channels, size, 7)
    assert all(module.training for module in model.modules())


def test_gradients_reach_all_parameters(path):
    torch.manual_seed(0)
    model = build(load(path), 1, 16, 10)
    model(torch.randn(4, 1, 16, 16)).logsumexp(dim=1).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    if path.stem != "timm":  # its resnet starts with blocks whose last batch norm is zero
        assert [name for name, p in model.named_parameters() if p.dim() > 1 and p.grad.abs().max() == 0] == []


def test_the_dry_run_changes_neither_model_nor_random_numbers():
    model = build(config("resnet.resnet", depth=8, dropout=0.5), 1, 8, 10)
    model[1].eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    dry_run(model, "resnet", 1, 8, 10)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert not model[1].training
    assert model.training


def test_a_model_that_cannot_take_the_images_is_refused():
    with pytest.raises(UserError, match=r"model torchvision alexnet cannot take 1x8x8 images: .*too small"):
        build(config("torchvision.torchvision", name="alexnet"), 1, 8, 10)


def test_a_model_with_other_outputs_is_refused():
    with pytest.raises(UserError, match=r"model flat gives \(2, 64\) for two 1x8x8 images; expected \(2, 10\)"):
        dry_run(nn.Flatten(), "flat", 1, 8, 10)


def test_pretrained_weights_exist_only_for_other_libraries():
    with pytest.raises(UserError, match=r"model\.weights=pretrained: mlp has none; allowed: null"):
        build(config("mlp.mlp", weights="pretrained"), 1, 8, 10)


def test_a_failed_download_is_a_message(monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    from torchvision import models

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", fail)
    with pytest.raises(UserError, match=r"model\.weights=pretrained: cannot be fetched: no network"):
        build(config("torchvision.torchvision", weights="pretrained"), 3, 32, 10)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.nn.Linear",
        "effdl.models.build.locate",
        "effdl.models.mlp.nn.Linear",
        "effdl.runs.execute.execute",
        "",
    ],
)
def test_stored_configs_may_only_name_families(target):
    with pytest.raises(UserError, match="a stored model may only name a family"):
        build({"_target_": target}, 1, 8, 10, trusted=False)


def test_stored_configs_load_no_weights_and_are_checked():
    build(config("mlp.mlp", weights="/nowhere"), 1, 8, 10, trusted=False)
    build(config("torchvision.torchvision", weights="pretrained"), 1, 8, 10, trusted=False)
    with pytest.raises(UserError, match=r"model\.width=wide"):
        build(config("mlp.mlp", width="wide"), 1, 8, 10, trusted=False)
    with pytest.raises(UserError, match=r"model\.pretrained is not a key"):
        build(config("torchvision.torchvision", pretrained=True), 1, 8, 10, trusted=False)


def test_unknown_targets_are_refused():
    with pytest.raises(UserError, match=r"_target_=effdl\.models\.nothing\.nothing"):
        build(config("nothing.nothing"), 1, 8, 10)
