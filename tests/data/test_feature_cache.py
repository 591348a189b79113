"""Cached features come back as they were, or not at all."""

import logging
import os

import pytest
import torch

from effdl.data import feature_cache

FEATURES = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "effdl"


def test_what_was_written_comes_back(folder):
    assert feature_cache.read("a") is None
    feature_cache.write("a", FEATURES)
    assert torch.equal(feature_cache.read("a"), FEATURES)
    assert feature_cache.read("b") is None
    assert os.listdir(folder) == ["features-a.safetensors"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"x", lambda data: data[:40], lambda data: b""])
def test_a_damaged_file_is_reported_and_not_used(folder, damage, caplog):
    feature_cache.write("a", FEATURES)
    path = folder / "features-a.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING, "effdl"):
        assert feature_cache.read("a") is None
    assert "are damaged and will be computed again" in caplog.text


def test_those_not_used_for_longest_make_room(folder, monkeypatch):
    for number, key in enumerate("abc"):
        feature_cache.write(key, FEATURES)
        os.utime(folder / f"features-{key}.safetensors", (number, number))
    size = (folder / "features-a.safetensors").stat().st_size
    feature_cache.read("a")  # used now
    (folder / "images.safetensors").write_bytes(bytes(10 * size))  # of another cache
    monkeypatch.setattr(feature_cache, "LIMIT", 3 * size)
    feature_cache.write("d", FEATURES)
    left = ["features-a.safetensors", "features-c.safetensors", "features-d.safetensors", "images.safetensors"]
    assert sorted(os.listdir(folder)) == left
    monkeypatch.setattr(feature_cache, "LIMIT", 10)
    feature_cache.write("e", FEATURES)
    assert sorted(os.listdir(folder)) == left


def test_a_folder_that_cannot_be_written_is_no_error(folder, caplog):
    folder.write_text("a file in its place")
    with caplog.at_level(logging.WARNING, "effdl"):
        feature_cache.write("a", FEATURES)
    assert "could not be cached" in caplog.text
