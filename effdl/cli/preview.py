"""``effdl preview``: images of a data set and what training is given of them, before anything is trained."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from effdl.cli.arguments import command_parser, location, named, parsed, whole_number
from effdl.cli.terminal import terminal
from effdl.config.compose import composed, plain_values, settings
from effdl.config.effects import check_effects
from effdl.config.naming import option_name
from effdl.config.overrides import readable, resume_folder, swept
from effdl.config.validation import check_targets
from effdl.utils.errors import UserError
from effdl.utils.files import check_folder, write_atomic

if TYPE_CHECKING:
    from effdl.data.build import Data

_EXAMPLES = """\
Examples:
  effdl preview                                                    the digits as `effdl train` sees them
  effdl preview dataset=digits augment=[flip_crop,cutout] --out views.png --count 5 --views 8
  effdl preview dataset=image_folder dataset.root=DIR augment=[randaugment] augment.randaugment.magnitude=15
  effdl preview experiment=folder_resnet20 dataset.root=DIR seed=1
  effdl preview pretraining=simclr                                 the two views that are compared
  effdl preview pretraining=masked model=vit model.patch=2         which patches are hidden

It takes the overrides of `effdl train`, reads the data and writes the picture; nothing is trained. The same seed gives
the same picture. All images of it are one batch, whose images mixup and cutmix blend. With pretraining=METHOD it shows
what that sees of an image in a step, else what `augment` makes.
"""
_MOST_IMAGES, _MOST_VIEWS = 100, 20
_AUGMENTED = 6  # views by augmentation


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parse(arguments)
    config = composed(args.overrides, args.config_dir)
    plain = settings(config)
    check_effects(args.overrides, [plain_values(config)])
    check_targets(plain)
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(f"preview draws with matplotlib: pip install matplotlib ({error})") from error
    from effdl.data.build import load
    from effdl.report.table import images_table

    data, console = load(plain["dataset"]), terminal()
    picture, notes = _picture(plain, data, args.count, args.views)  # what is refused is so before anything is shown
    splits = {"train": data.train, "validation": data.val, "test": data.test}
    labels = {name: images.labels.tolist() for name, images in splits.items() if images is not None}
    console.print(
        images_table(labels, data.classes, f"{data.name}: {len(data.classes)} classes, images of {_size(data)}")
    )
    without = [f"{len(data.unlabelled):,} training images without labels"] if data.unlabelled else []
    for line in [*without, _statistics(data), *(f"data: {note}" for note in data.notes), *notes]:
        console.print(line, highlight=False, soft_wrap=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(args.out, picture)
    console.print(f"picture: {args.out}", highlight=False, soft_wrap=True)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments.

    Raises:
        UserError: one is wrong, or would have no effect.
    """
    description = "Show a data set: its splits in a table, and images with their augmented views in a picture."
    parser = command_parser("preview", description, _EXAMPLES)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as `effdl train` takes them")
    parser.add_argument("--out", type=location, default=Path("views.png"), metavar="FILE", help="(views.png)")
    parser.add_argument("--count", type=whole_number(_MOST_IMAGES), default=8, metavar="N", help="how many images (8)")
    parser.add_argument(
        "--views",
        type=whole_number(_MOST_VIEWS),
        metavar="K",
        help=f"how many views of each ({_AUGMENTED}, or as many as pretraining makes at a time)",
    )
    parser.add_argument("--config-dir", type=named, metavar="DIR", help="a folder of your own configs and code")
    args = parsed(parser, arguments)
    args.overrides = readable(args.overrides)
    if several := swept(args.overrides):
        raise UserError(f"{several[0].input_line}: a preview is of one config (allowed: one value)")
    if folder := resume_folder(args.overrides):
        raise UserError(f"resume={folder}: a preview continues no run (allowed: the overrides of a new one)")
    if args.out.suffix.lower() != ".png" or args.out.is_dir():
        raise UserError(f"--out {args.out}: allowed is a file whose name ends with .png")
    check_folder(args.out.parent, f"--out {args.out}")
    return args


def _size(data: "Data") -> str:
    """Channels, height and width."""
    return "x".join(map(str, data.input_shape))


def _statistics(data: "Data") -> str:
    """Mean and standard deviation of every channel, and of which images."""
    from effdl.data.streamed import StreamedImages

    numbers = (", ".join(f"{value:.1f}" for value in values) for values in (data.mean, data.std))
    streamed = isinstance(data.train.images, StreamedImages)
    of = "ImageNet's, as the images are streamed" if streamed else "of the training images"
    return "mean {}, standard deviation {} per channel ({}; pixels are 0 to 255)".format(*numbers, of)


def _picture(config: dict, data: "Data", count: int, views: int | None) -> tuple[bytes, list[str]]:
    """The picture of so many images and views of each, and what there is to say about it."""
    from effdl.data.views import augmented, examples, pixels_of
    from effdl.report.plots.figure import png
    from effdl.report.plots.views import views_grid
    from effdl.runs.prepare import recipe_of
    from effdl.runs.views import pretraining_views
    from effdl.utils.seeding import derive_seed

    seed = config["seed"]
    shown = examples(data.train, count, derive_seed(seed, "examples"))
    originals, drawn = pixels_of(shown), derive_seed(seed, "views")
    if node := config["pretraining"]:
        by = f"pretraining={option_name(node)}"
        found = pretraining_views(config, shown, views, drawn)
    else:
        by = ", ".join(config["augment"]) or "no augmentation"
        found = augmented(shown, recipe_of(config, len(data.classes)).augment, views or _AUGMENTED, drawn)
    notes = [] if (found != originals[:, None]).any() else [f"{by}: all views are the images as they are"]
    names = [data.classes[label] for label in shown.labels.tolist()]
    title = f"{data.name}, training images; views by {by}; seed {seed}"
    return png(views_grid(originals, found, names, title)), notes
