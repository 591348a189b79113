import importlib.util
from pathlib import Path

import torch

from effdl.config.compose import composed, plain_values
from effdl.data.build import load

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_images.py"


def test_images_are_the_same_after_they_were_written_and_read(tmp_path):
    spec = importlib.util.spec_from_file_location("write_images", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(["digits", "unused", str(tmp_path / "images")])
    before, after = (
        load(plain_values(composed([*overrides, "dataset.val=0"], None))["dataset"])
        for overrides in (
            ["dataset=digits"],
            ["dataset=image_folder", f"dataset.root={tmp_path / 'images'}", "dataset.channels=1"],
        )
    )
    assert after.classes == before.classes
    for mine, theirs in ((after.train, before.train), (after.test, before.test)):
        order = torch.argsort(theirs.labels, stable=True)  # files are read class by class
        assert torch.equal(mine.labels, theirs.labels[order])
        assert torch.equal(mine.images, theirs.images[order])
