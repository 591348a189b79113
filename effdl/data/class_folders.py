"""Which files of a folder are images of which class, and which are left out."""

import os
import stat
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from effdl.data.image_files import shown
from effdl.utils.errors import UserError

_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".avif", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".pcx", ".ico"),
    *(".qoi", ".dds", ".sgi", ".ras", ".fits"),
)
# What the folder of a split may be called, in any case
_SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
    "unlabelled": ("unlabelled", "unlabeled"),
}
_LeftOut = dict[str, list[str]]  # why, and the paths


@dataclass(frozen=True)
class ImageFile:
    """An image of a class: ``path`` relative to the root, ``size`` in bytes, ``changed`` in nanoseconds."""

    class_name: str
    path: str
    size: int
    changed: int


@dataclass
class _ClassFolders:
    """The images of the splits, sorted by class and name, and the files that are left out, by reason.

    ``test`` is empty if there is no folder of test images, ``val`` if there is none beside that, and ``unlabelled``, of
    no class, if there is none beside ``train``.
    """

    train: list[ImageFile] = field(default_factory=list)
    val: list[ImageFile] = field(default_factory=list)
    test: list[ImageFile] = field(default_factory=list)
    unlabelled: list[ImageFile] = field(default_factory=list)
    left_out: _LeftOut = field(default_factory=lambda: defaultdict(list))

    def notes(self) -> list[str]:
        """A sentence for each reason: how many files, and one of them."""
        return _notes(self.left_out)


def class_folders(root: str) -> _ClassFolders:
    """The images in the class folders of ``root/train``, ``root/val`` and ``root/test``, or of ``root``, at any depth.

    Those in ``root/unlabelled`` beside ``train`` are in no class. The validation folder stands in for a missing test
    folder. Links are followed, but not back into a folder that is read already.

    Raises:
        UserError: there are no such folders, a class without an image, or one folder for validation and test.
    """
    found = _ClassFolders()
    folders = _split_folders(root)
    if "train" not in folders:
        found.train = _split(root, "", found.left_out)
        _check_classes(root, {image.class_name for image in found.train})
        _check_several(root, found.train)
        return found
    used = {"train": folders["train"]}
    if "test" in folders and "val" in folders and _has_folders(os.path.join(root, folders["val"])):
        used |= {"val": folders["val"], "test": folders["test"]}
        _check_apart(root, used["val"], used["test"])
    elif test := folders.get("test", folders.get("val")):
        used["test"] = test
    if "unlabelled" in folders:
        used["unlabelled"] = folders["unlabelled"]
    for name in sorted(set(os.listdir(root)) - set(used.values())):
        found.left_out[_hidden(name) or f"not in {' or '.join(used.values())}"].append(name)
    found.train = _split(root, used["train"], found.left_out)
    _check_several(os.path.join(root, used["train"]), found.train)
    found.val = _split(root, used["val"], found.left_out) if "val" in used else []
    found.test = _split(root, used["test"], found.left_out) if "test" in used else []
    found.unlabelled = _unlabelled(root, used["unlabelled"], found.left_out) if "unlabelled" in used else []
    return found


def _check_apart(root: str, val: str, test: str) -> None:
    """Refuse (UserError) a link from one to the other: every choice would be made on the test images."""
    if os.path.samefile(os.path.join(root, val), os.path.join(root, test)):
        raise UserError(f"dataset.root={root}: {val} and {test} are one folder (allowed: two, or no {val})")


def _check_several(root: str, images: list[ImageFile]) -> None:
    """Refuse (UserError) a single class, which is often a folder above the data set."""
    name = images[0].class_name
    if all(image.class_name == name for image in images):
        inner = os.path.join(root, name)
        hint = f", such as dataset.root={inner} if that has them" if _has_folders(inner) else ""
        raise UserError(f"dataset.root={root}: the only class is {name}; allowed is a folder of two or more{hint}")


def _check_classes(root: str, names: set[str]) -> None:
    """Refuse (UserError) classes that are none: folders of splits, without one of training images."""
    if all(name.lower() in sum(_SPLITS.values(), ()) for name in names):
        found = ", ".join(sorted(names))
        raise UserError(f"dataset.root={root}: found only {found} (allowed: train/CLASS/*, test/CLASS/*, or CLASS/*)")


def _split_folders(root: str) -> dict[str, str]:
    """The folders of the splits by what they are; a ``train`` without folders in it is a class of that name."""
    found = {}
    for name in _names(root) if os.path.isdir(root) else ():
        split = next((split for split, names in _SPLITS.items() if name.lower() in names), None)
        if split is None or not os.path.isdir(os.path.join(root, name)):
            continue
        if split in found:
            raise UserError(f"dataset.root={root}: {found[split]} and {name} are one split (allowed: one of them)")
        found[split] = name
    if "train" in found and not _has_folders(os.path.join(root, found["train"])):
        del found["train"]
    return found


def _split(root: str, part: str, left_out: _LeftOut) -> list[ImageFile]:
    where = Path(root, part)
    looked = f"looked for image files in {where}{os.sep}<class>{os.sep} ({', '.join(_EXTENSIONS)})"
    if not os.path.isdir(where):
        raise UserError(f"no such folder: {looked}; set dataset.root to the folder that holds train/ and test/")
    found = []
    for name in _names(where):
        path = os.path.join(part, name)
        if reason := _hidden(name):
            left_out[reason].append(path)
        elif os.path.isdir(where / name):
            found += _class(root, path, left_out, looked)
        else:
            left_out["outside of the class folders"].append(path)
    if not found:
        raise UserError(f"no images: {looked}; set dataset.root to the folder that holds train/ and test/")
    return found


def _class(root: str, path: str, left_out: _LeftOut, looked: str) -> list[ImageFile]:
    """The images of a class. UserError if it has none, or a name that cannot be written into a run."""
    top = Path(root, path)
    try:
        str(top).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the folder {os.fsencode(top)!r} has a name that is not UTF-8: rename it") from error
    found, without = _walked(root, path)
    if not found:
        reasons = "".join(f"; {note}" for note in _notes(without))
        raise UserError(f"no images in the class folder {top}: {looked}{reasons}")
    for reason, files in without.items():
        left_out[reason] += files
    return found


def _unlabelled(root: str, path: str, left_out: _LeftOut) -> list[ImageFile]:
    """The images without labels. UserError if there are none."""
    found, without = _walked(root, path)
    if not found:
        raise UserError(
            f"no images in {Path(root, path)}, which is for those without labels (allowed: some, or no folder)"
        )
    for reason, files in without.items():
        left_out[reason] += files
    return found


def images_in(folder: str) -> tuple[list[str], list[str]]:
    """The paths of all images in a folder and in those in it, sorted, and a sentence on what is left out."""
    found, left_out = _walked(folder, "")
    return [os.path.join(folder, image.path) for image in found], _notes(left_out)


def _walked(root: str, path: str) -> tuple[list[ImageFile], _LeftOut]:
    """The images in a class folder and all folders in it, and what else is there."""
    found, left_out = [], defaultdict(list)
    real = Path(os.path.realpath(Path(root, path)))
    seen, folders = {real, *real.parents}, [path]
    while folders:
        folder, inner = folders.pop(), []
        for name in _names(Path(root, folder)):
            file = os.path.join(folder, name)
            status = _status(Path(root, file))
            if reason := _hidden(name) or _unread(name, status):
                left_out[reason].append(file)
            elif not stat.S_ISDIR(status.st_mode):
                found.append(ImageFile(os.path.basename(path), file, status.st_size, status.st_mtime_ns))
            elif (real := Path(os.path.realpath(Path(root, file)))) in seen:
                left_out["links back into a folder that is read already"].append(file)
            else:
                seen.add(real)
                inner.append(file)
        folders += reversed(inner)
    return found, left_out


def _status(path: Path) -> os.stat_result | None:
    """What the file system knows of a file; None of a link that leads to none.

    Raises:
        UserError: it may not be read.
    """
    try:
        return os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            return None
        raise UserError(f"{shown(str(path))} cannot be read: {error.strerror}") from error


def _unread(name: str, status: os.stat_result | None) -> str | None:
    """Why something in a class folder is neither an image nor a folder; None if it may be one."""
    if status is None:
        return "links to nothing or to themselves"
    if stat.S_ISDIR(status.st_mode):
        return None
    if not name.lower().endswith(_EXTENSIONS):
        return "of no suffix of an image that is read"
    if not stat.S_ISREG(status.st_mode):
        return "devices, pipes and the like"
    return None if status.st_size else "empty"


def _has_folders(folder: str) -> bool:
    return any(os.path.isdir(os.path.join(folder, name)) for name in _names(folder) if not _hidden(name))


def _hidden(name: str) -> str | None:
    return "hidden" if name.startswith(".") or name == "__MACOSX" else None


def _names(folder: str | Path) -> list[str]:
    """The sorted names in a folder."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"{shown(str(folder))} cannot be read: {error.strerror}") from error


def _notes(left_out: _LeftOut) -> list[str]:
    return [
        f"left out, {reason}: {len(files):,}, such as {shown(files[0])}" for reason, files in sorted(left_out.items())
    ]
