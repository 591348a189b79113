"""Write a data set as files of images, for models that need them larger or in color.

    python scripts/write_images.py mnist data data/mnist_images
    effdl train dataset=image_folder dataset.root=data/mnist_images dataset.image_size=160 model=timm ...

PNG files, so nothing is lost: ``DEST/train/CLASS/NUMBER.png`` and ``DEST/test/CLASS/NUMBER.png``.
"""

import argparse
from pathlib import Path

from PIL import Image
from rich.progress import track

from effdl.config.compose import composed, plain_values
from effdl.data.build import load


def main(arguments: list[str] | None = None) -> None:
    """Write the images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("root", help="where its files are")
    parser.add_argument("dest", type=Path, help="the new folder")
    args = parser.parse_args(arguments)
    if args.dest.exists():
        parser.error(f"{args.dest} exists")
    root = [] if args.dataset == "digits" else [f"dataset.root={args.root}"]  # those are shipped with effdl
    data = load(plain_values(composed([f"dataset={args.dataset}", *root, "dataset.val=0"], None))["dataset"])
    for split in ("train", "test"):
        images = getattr(data, split)
        for name in data.classes:
            (args.dest / split / name).mkdir(parents=True, exist_ok=False)
        pairs = zip(images.images, images.labels.tolist(), strict=True)
        for number, (image, label) in enumerate(track(pairs, split, total=len(images))):
            pixels = image.permute(1, 2, 0).squeeze(-1).numpy()
            Image.fromarray(pixels).save(args.dest / split / data.classes[label] / f"{number:05}.png")


if __name__ == "__main__":
    main()
