import torch

from effdl.data import statistics
from effdl.data.source import Images
from effdl.data.statistics import channel_statistics, fingerprint
from effdl.data.streamed import StreamedImages


def labelled(pixels):
    return Images(pixels, torch.zeros(len(pixels), dtype=torch.int64))


def test_mean_and_std_are_those_over_all_pixels(monkeypatch):
    monkeypatch.setattr(statistics, "CHUNK_BYTES", 1000)  # several chunks
    pixels = torch.randint(256, (101, 3, 9, 9), dtype=torch.uint8)
    mean, std = channel_statistics(labelled(pixels))
    exact = pixels.double()
    torch.testing.assert_close(mean, tuple(exact.mean((0, 2, 3)).tolist()), rtol=1e-12, atol=0)
    torch.testing.assert_close(std, tuple(exact.std((0, 2, 3), correction=0).tolist()), rtol=1e-12, atol=0)


def test_a_constant_channel_has_std_one():
    pixels = torch.full((4, 2, 3, 3), 7, dtype=torch.uint8)
    pixels[0, 1, 0, 0] = 8
    mean, std = channel_statistics(labelled(pixels))
    assert (mean[0], std[0]) == (7, 1)
    assert 0 < std[1] < 1


def test_streamed_images_get_the_constants_of_imagenet():
    colour, grey = (Images(StreamedImages("", (), channels, 8, 0), torch.zeros(0)) for channels in (3, 1))
    assert channel_statistics(colour)[0] == (0.485 * 255, 0.456 * 255, 0.406 * 255)
    torch.testing.assert_close(channel_statistics(grey), ((0.449 * 255,), (0.226 * 255,)), rtol=1e-12, atol=0)


def test_the_fingerprint_sees_pixels_labels_shapes_and_parts():
    pixels = torch.arange(96, dtype=torch.uint8).view(6, 1, 4, 4)
    original = labelled(pixels)
    changed = pixels.clone()
    changed[5, 0, 3, 3] += 1
    others = [
        [labelled(changed)],
        [Images(pixels, torch.tensor([0, 0, 0, 0, 0, 1]))],
        [labelled(pixels.view(6, 1, 2, 8))],
        [original, original],
        [original.select(torch.arange(3)), original.select(torch.arange(3, 6))],
    ]
    prints = [fingerprint(parts) for parts in [[original], *others]]
    assert len(set(prints)) == len(prints)
    assert fingerprint([labelled(pixels.clone())]) == prints[0]
    assert len(prints[0]) == 64


def test_the_fingerprint_of_streamed_images_is_that_of_names_and_sizes(tmp_path):
    (tmp_path / "a.png").write_bytes(b"1")
    images = Images(StreamedImages(str(tmp_path), ("a.png",), 3, 8, 0), torch.zeros(1))
    first = fingerprint([images])
    assert fingerprint([images]) == first
    (tmp_path / "a.png").write_bytes(b"12")
    assert fingerprint([images]) != first
