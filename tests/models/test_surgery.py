import torch
from torch import nn

from effdl.models.surgery import adapt_filters, last_layer, set_channels, set_classes, start_small


def test_filters_for_grey_images_answer_as_to_the_same_image_in_three_channels():
    weight, grey = torch.randn(4, 3, 3, 3), torch.randn(1, 1, 8, 8)
    expected = nn.functional.conv2d(grey.expand(1, 3, 8, 8), weight)
    for channels in (1, 6):
        answer = nn.functional.conv2d(grey.expand(1, channels, 8, 8), adapt_filters(weight, channels))
        torch.testing.assert_close(answer, expected)


def test_set_channels_keeps_all_but_the_number_of_inputs():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=True))
    bias = model[0].bias.clone()
    set_channels(model, 1)
    assert model[0].in_channels == 1
    assert torch.equal(model[0].bias, bias)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 4, 4, 4)


def test_set_classes_replaces_the_last_layer_only_if_it_must():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5, bias=False))
    head = model[2]
    set_classes(model, 5)
    assert model[2] is head
    set_classes(model, 7)
    assert last_layer(model)[0] == "2"
    assert model[2].weight.shape == (7, 4)
    assert model[2].bias is None


def test_set_classes_replaces_a_last_convolution():
    model = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(4, 5, 1))
    set_classes(model, 7)
    assert model[1].weight.shape == (7, 4, 1, 1)


def test_a_new_last_layer_starts_small():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(1000, 100))
    before = model[0].weight.clone()
    start_small(model, ["1.weight", "1.bias"])
    assert abs(float(model[1].weight.detach().std()) - 0.01) < 1e-4  # of 100,000 numbers
    assert not model[1].bias.any()
    assert torch.equal(model[0].weight, before)
