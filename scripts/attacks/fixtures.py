"""What stands around an attempt: a run, an ordinary file, folders of images and of configs, whole and damaged ones."""

import os
import shutil
from pathlib import Path

_EXPERIMENT = (
    "# @package _global_\n# Small\ndefaults:\n  - override /model: mlp\n\nepochs: 1\ndataset:\n  subset: 200\n"
)
_CLAIM = (
    "\nreported:\n  - source: here\n    seeds: {seeds}\n    values:\n"
    "      - {{stage: dense, metric: top1, value: {value}, tolerance: 0.4}}\n"
)
_LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
_MODELS = {  # own config files that nothing can be made of
    "not-yaml": b"_target_: [unclosed\n  : {",
    "list": b"- 1\n- 2\n",
    "utf-16": "_target_: effdl.models.mlp.mlp\n".encode("utf-16"),
    "laughs": f"_target_: effdl.models.mlp.mlp\n{_LAUGHS}".encode(),
    "itself": b"defaults:\n  - x\n  - _self_\n_target_: effdl.models.mlp.mlp\n",
}
_CLAIMS = {  # experiments that report what cannot be
    "nan": {"value": ".nan", "seeds": "[0]"},
    "inf": {"value": ".inf", "seeds": "[0]"},
    "number": {"value": "0.5", "seeds": "3"},
    "word": {"value": "much", "seeds": "[0]"},
}


def prepare(root: Path, run: Path) -> None:
    """Make everything once."""
    shutil.copytree(run, root / "r")
    shutil.copytree(run, root / "rs")
    (root / "rs/sensitivity.jsonl").write_text('{"layer": 1}\nnot a row\n')
    (root / "f").write_text("a file\n")
    _images(root / "images", "ab")
    _images(root / "one", "a")
    _images(root / "dangling", "b")
    (root / "dangling/a").mkdir()  # a class of which no image is there
    (root / "dangling/a/x.png").symlink_to("nowhere.png")
    _images(root / "bytes", "ab")
    shutil.copy(root / "images/a/0.png", os.fsencode(root / "bytes/a") + b"/\xff.png")
    (root / "mine/experiment").mkdir(parents=True)
    (root / "mine/experiment/tiny.yaml").write_text(_EXPERIMENT + _CLAIM.format(value="0.5", seeds="[0]"))
    for name, content in _MODELS.items():
        (root / f"mine-{name}/model").mkdir(parents=True)
        (root / f"mine-{name}/model/x.yaml").write_bytes(content)
    for name, values in _CLAIMS.items():
        (root / f"mine-{name}/experiment").mkdir(parents=True)
        (root / f"mine-{name}/experiment/tiny.yaml").write_text(_EXPERIMENT + _CLAIM.format(**values))


def furnish(place: Path, root: Path, arguments: tuple[str, ...]) -> None:
    """Put into an attempt's folder what its arguments may name; only run folders are its own copies."""
    shutil.copy(root / "f", place / "f")
    (place / "d").mkdir()
    for path in root.iterdir():
        if path.is_dir() and path.name.startswith(("images", "one", "dangling", "bytes", "mine")):
            (place / path.name).symlink_to(path)
    for name in {"r", "rs"} & set(arguments):
        shutil.copytree(root / name, place / name)


def tree(place: Path) -> dict[str, tuple[int, int]]:
    """The files and folders of an attempt and of its temporary folder, with their sizes and times."""
    found = {}
    for root in (place, place.parent / "tmp"):
        for path in root.rglob("*"):
            if not path.is_symlink():
                status = path.stat()
                found[str(path.relative_to(place.parent))] = (
                    (0, 0) if path.is_dir() else (status.st_size, status.st_mtime_ns)
                )
    return found


def _images(folder: Path, classes: str) -> None:
    """Squares of noise, 12 a class."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(noise.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / name / f"{number}.png")
