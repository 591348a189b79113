"""From the config of a data set to the training, validation and test splits of a run."""

import inspect
import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Annotated

import torch

from effdl.config.identity import is_shipped, node_by_target
from effdl.config.instantiate import locate
from effdl.config.naming import option_name
from effdl.config.schema import SHARED
from effdl.config.types import Border, Count, Fraction, Natural, ReadIf, Seed, Share
from effdl.config.validation import check_call
from effdl.data.inputs import Inputs
from effdl.data.pixels import Ranges
from effdl.data.source import Images, Source, check_source
from effdl.data.split import stratified_folds, stratified_holdout, stratified_labelled, stratified_subset, without
from effdl.data.statistics import channel_statistics, fingerprint
from effdl.utils.errors import UserError


@dataclass(frozen=True, eq=False)
class Data:
    """A data set split for one run.

    ``mean`` and ``std``: per channel over the training images, with those whose labels are left out, in 0..255 units.
    ``fingerprint``: sha256 (hex) of the content of the splits. ``val`` is None without a validation split.
    ``unlabelled``: the training images that are not labelled and those that the source has without labels; None: there
    are none. ``ranges`` and ``notes`` as those of the source.
    """

    name: str
    train: Images
    val: Images | None
    test: Images
    classes: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    ranges: Ranges = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unlabelled: Images | None = None

    def to(self, device: torch.device) -> "Data":
        """The same data, with images that are in memory moved to a device."""
        return replace(self, **{name: split and split.to(device) for name, split in self._splits.items()})

    def with_unlabelled(self) -> "Data":
        """The same data with the unlabelled images among the training images, for what learns without labels."""
        return replace(self, train=self.train.joined(self.unlabelled), unlabelled=None)

    @property
    def counts(self) -> dict[str, int]:
        """How many images there are: to train, validate and test, which have labels, and without labels."""
        return {name: len(split) if split else 0 for name, split in self._splits.items()}

    @property
    def _splits(self) -> dict[str, Images | None]:
        return {"train": self.train, "val": self.val, "test": self.test, "unlabelled": self.unlabelled}

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of an image."""
        return self.channels, self.image_size, self.image_size

    @property
    def inputs(self) -> Inputs:
        """What a model that is trained on these data is given, and what it answers."""
        rule = self.test.centre, self.test.upright, self.ranges
        return Inputs(self.classes, self.channels, self.image_size, self.mean, self.std, *rule)

    def normalized_for(self, inputs: Inputs) -> "Data":
        """The same data with the normalization of a model."""
        return replace(self, mean=inputs.mean, std=inputs.std)

    def numbered_for(self, inputs: Inputs) -> "Data":
        """The same data with the labels of a model that has the same classes in another order."""
        if inputs.classes == self.classes:
            return self
        order = torch.tensor(inputs.order_of(self.classes))
        splits = {"train": self.train, "val": self.val, "test": self.test}
        splits = {name: split and Images(split.images, order[split.labels]) for name, split in splits.items()}
        return replace(self, **splits, classes=inputs.classes)


def load(config: dict) -> Data:
    """Load the data set of a ``dataset`` node, whose ``_target_`` or ``option`` names the source.

    The last two results are cached, so that several runs of one process load their common data set once.
    """
    return cached_load(json.dumps(node_by_target("dataset", config), sort_keys=True))


def shipped(config: dict) -> dict:
    """The config of a data set in a run folder, without a download; only sources of this package are allowed.

    Raises UserError if it names any other code, since a run folder may come from an untrusted source.
    """
    if not is_shipped("dataset", config):
        raise UserError(f"dataset={option_name(config)}: a run folder may only name a data set of effdl's")
    check_call("dataset", config, SHARED["dataset"])
    return {**config, "download": False} if "download" in config else config


@lru_cache(maxsize=2)
def cached_load(config: str) -> Data:
    keys = json.loads(config)
    target = keys.pop("_target_")
    splitting = {key: keys.pop(key) for key in inspect.getfullargspec(split_source).kwonlyargs if key in keys}
    return split_source(locate(target)(**keys), target.rpartition(".")[2], **splitting)


def split_source(
    source: Source,
    name: str,
    *,
    val: Annotated[Fraction, ReadIf(folds=None)],
    folds: Count | None,
    fold: Annotated[Natural, ReadIf(folds=int)],
    subset: Count | Share | None,
    split_seed: Annotated[Seed, ReadIf(val=Share, folds=int, subset=int | float, labelled=int | float)],
    mirror: bool,
    pad: Border,
    labelled: Count | Share | None = None,
) -> Data:
    """Split a source: first ``subset`` of the training images, then a validation split out of those, then the labelled.

    ``subset`` is a number of images, or a fraction of all. ``labelled`` is one of the training images that are left:
    so many keep their labels, at least one of each class; the others are unlabelled.

    The validation split is that of the source (but with ``val`` 0 there is none), else the fraction ``val`` or, with
    ``folds``, fold number ``fold`` of that many. All are stratified and drawn with ``split_seed``. ``mirror`` (does a
    mirrored image keep its label?) and ``pad`` (pixels, for random crops) describe the images to the augmentations,
    whose files refer to them as ``${dataset.mirror}``; they are not used here. Raises UserError for an impossible
    split, for ``folds`` of a source that has a validation split, and for a ``pad`` beyond the size of the images.
    """
    check_source(source, name)
    if pad > (size := source.train.image_size):
        raise UserError(f"dataset.pad={pad}: allowed is a whole number from 0 to {size}, the size of the images")
    images = source.train if subset is None else _subset(source.train, subset, split_seed)
    if source.val is None:
        (train, held), notes = _holdout(images, val, folds, fold, split_seed), source.notes
    else:
        train, held = images, source.val if val else None
        notes = *source.notes, _on_own_split(len(source.val), val, folds)
    mean, std = channel_statistics(train)
    unlabelled = source.unlabelled
    if labelled is not None:
        train, unlabelled = _labelled(train, labelled, source, split_seed)
    parts = (train, held, source.test, unlabelled)
    return Data(
        name=name,
        train=train,
        val=held,
        test=source.test,
        classes=tuple(map(str, source.classes)),
        channels=train.channels,
        image_size=train.image_size,
        mean=mean,
        std=std,
        fingerprint=fingerprint(part for part in parts if part is not None),
        ranges=source.ranges,
        notes=notes,
        unlabelled=unlabelled,
    )


def _subset(images: Images, subset: float, seed: int) -> Images:
    size = subset if isinstance(subset, int) else round(subset * len(images))
    if not 1 <= size <= len(images):
        raise UserError(f"dataset.subset={subset}: {size} images (allowed: 1 to {len(images)}, all to train on)")
    return images.select(stratified_subset(images.labels, size, seed))


def _labelled(images: Images, labelled: float, source: Source, seed: int) -> tuple[Images, Images | None]:
    """The images that keep their labels, and all that have none."""
    size = labelled if isinstance(labelled, int) else round(labelled * len(images))
    classes = len(images.labels.unique())
    if not classes <= size <= len(images):
        raise UserError(
            f"dataset.labelled={labelled}: {size} of the training images (allowed: {classes}, one of each class, to "
            f"{len(images)}, all)"
        )
    if size == len(images):
        return images, source.unlabelled
    kept = stratified_labelled(images.labels, size, seed)
    return images.select(kept), images.select(without(kept, len(images))).unlabelled().joined(source.unlabelled)


def _on_own_split(images: int, val: float, folds: int | None) -> str:
    """What becomes of a validation split of the source's own, and of the keys that hold one out."""
    if folds is not None:
        raise UserError(f"dataset.folds={folds}: the data set has a validation split of its own (allowed: null)")
    if not val:
        return f"its own {images:,} validation images are not used, by dataset.val=0"
    return f"its own {images:,} validation images are the validation split: dataset.val={val} is not used"


def _holdout(images: Images, val: float, folds: int | None, fold: int, seed: int) -> tuple[Images, Images | None]:
    if folds is not None:
        return _fold(images, folds, fold, seed)
    if val == 0:
        return images, None
    kept, held = stratified_holdout(images.labels, val, seed)
    if not len(kept) or not len(held):
        raise UserError(
            f"dataset.val={val} of {len(images)} training images leaves {len(kept)} to train on and {len(held)} to "
            "validate on: choose a fraction that leaves some of each, or 0 for no validation split"
        )
    return images.select(kept), images.select(held)


def _fold(images: Images, folds: int, fold: int, seed: int) -> tuple[Images, Images]:
    if not 2 <= folds <= len(images):
        raise UserError(f"dataset.folds={folds}: must be from 2 to the number of training images, {len(images)}")
    if fold >= folds:
        raise UserError(f"dataset.fold={fold}: must be from 0 to {folds - 1}, as dataset.folds={folds}")
    parts = stratified_folds(images.labels, folds, seed)
    held = parts.pop(fold)
    return images.select(torch.cat(parts).sort().values), images.select(held)
