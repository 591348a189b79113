"""What says where a run was made goes, the rest stays."""

import pytest

from effdl.report.scrub import scrubbed, without_paths


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/ada/data", "PATH"),
        ("~/data/mnist", "PATH"),
        ("~ada/data", "PATH"),
        ("dataset.root=/home/ada/data", "dataset.root=PATH"),
        ("dataset.root='/home/ada/data'", "dataset.root='PATH'"),
        ("no such file: /home/ada/x.pt, sorry", "no such file: PATH, sorry"),
        ("file:///home/ada/x", "file:///home/ada/x".replace("/home/ada/x", "/home/ada/x")),
        ("C:\\Users\\ada\\data", "PATH"),
    ],
)
def test_absolute_paths_are_replaced(text, clean):
    assert without_paths(text) == clean


@pytest.mark.parametrize(
    "text", ["outputs/2026-01-31/12-00-00", "images/s", "https://huggingface.co/ada/net", "1 / 2", "world average", ""]
)
def test_other_texts_stay(text):
    assert without_paths(text) == text


def test_keys_of_the_machine_go_at_any_depth():
    run = {"host": "ada-pc", "pid": 7, "seed": 0, "starts": [{"host": "ada-pc", "a": ["/x/y", 1.5, None, True]}]}
    assert scrubbed(run) == {"seed": 0, "starts": [{"a": ["PATH", 1.5, None, True]}]}
