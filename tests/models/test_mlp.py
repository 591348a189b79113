import torch

from effdl.models.mlp import mlp


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_lenet_300_100_has_266610_parameters():
    assert parameters(mlp(1, 28, 10)) == 266_610


def test_width_multiplies_the_hidden_layers():
    assert parameters(mlp(1, 28, 10, width=0.5)) == parameters(mlp(1, 28, 10, hidden=[150, 50]))


def test_without_hidden_layers_it_is_a_linear_classifier():
    assert parameters(mlp(3, 8, 5, hidden=[])) == (3 * 8 * 8 + 1) * 5


def test_dropout_acts_in_training_only():
    model, image = mlp(1, 8, 10, dropout=0.5), torch.ones(1, 1, 8, 8)
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))
