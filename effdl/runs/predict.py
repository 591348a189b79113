"""The classes of images of one's own, by a stored or exported model."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from effdl.data.class_folders import images_in
from effdl.data.image_files import shown
from effdl.data.inputs import Inputs
from effdl.data.loader import normalize
from effdl.data.streamed import StreamedImages, default_workers
from effdl.deploy.onnx_runtime import answers, session, takes_pixels
from effdl.deploy.preprocessing import read_metadata
from effdl.models.stored import load_model, read_inputs
from effdl.runs.reopen import reopen, stored_run
from effdl.utils.errors import UserError, first_line

_BATCH = 64
_Answer = Callable[[Tensor], Tensor]  # probabilities (n, classes) of uint8 pixels (n, C, H, W)


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Args:
        image: the file.
        classes, probabilities: the likeliest classes, the first before all others.
        error: why the image could not be read; then there are no classes.
    """

    image: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str | None = None


def predict(
    model: str | Path, images: str | Path | Iterable[str | Path], *, top: int = 5, trusted: bool = False
) -> list[Prediction]:
    """The likeliest classes of images, which are prepared as the model's test images were.

    Args:
        model: a run folder, a stored model (``.safetensors``) or an exported one (``.onnx``).
        images: files, and folders of which all images are taken, at any depth.
        top: number of classes.
        trusted: also build a model whose code is not part of effdl.

    Raises:
        UserError: the model cannot be read or does not say how images are prepared for it, or there are no images.
    """
    files, _ = image_files([images] if isinstance(images, str | Path) else images)
    return list(predictions(Path(model), files, top=top, trusted=trusted))


def image_files(paths: Iterable[str | Path]) -> tuple[list[str], list[str]]:
    """Files as they are given, and in the place of a folder all images in it; sentences on what is left out there.

    Raises:
        UserError: there are none.
    """
    given, files, notes = list(map(str, paths)), [], []
    for path in given:
        found, left_out = images_in(path) if Path(path).is_dir() else ([path], [])
        files += found
        notes += [f"{path}: {note}" for note in left_out]
    if not files:
        raise UserError(
            f"{', '.join(given) or 'predict'}: there are no images (allowed: image files, and folders of them)"
        )
    return files, notes


def predictions(model: Path, files: list[str], *, top: int, trusted: bool) -> Iterator[Prediction]:
    """A prediction for every file, in order, as they are made; see `predict`."""
    inputs, answer = _opened(model, trusted)
    images = StreamedImages(
        "",
        tuple(files),
        inputs.channels,
        inputs.image_size,
        0,
        inputs.centre,
        ranges=inputs.ranges,
        orient=inputs.upright,
    )

    def read(index: int) -> Tensor | UserError:
        try:
            return images.decode(index)
        except UserError as error:
            return error

    with ThreadPoolExecutor(max(1, default_workers())) as pool:
        for start in range(0, len(files), _BATCH):
            part = files[start : start + _BATCH]
            pixels = list(pool.map(read, range(start, start + len(part))))
            readable = [image for image in pixels if isinstance(image, Tensor)]
            found = iter(_likeliest(answer(torch.stack(readable)), inputs, top) if readable else [])
            for file, image in zip(part, pixels, strict=True):
                if isinstance(image, Tensor):
                    yield Prediction(shown(file), *next(found))
                else:
                    yield Prediction(shown(file), error=str(image))


def _likeliest(probabilities: Tensor, inputs: Inputs, top: int) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Names and probabilities of the likeliest classes of each of n images, from probabilities (n, classes)."""
    values, numbers = probabilities.double().topk(min(top, probabilities.shape[1]), dim=1)
    names = [tuple(inputs.classes[number] for number in row) for row in numbers.tolist()]
    return list(zip(names, map(tuple, values.tolist()), strict=True))


def _opened(path: Path, trusted: bool) -> tuple[Inputs, _Answer]:
    """What a model was trained on, and the model."""
    if path.suffix == ".onnx":
        return _exported(path)
    file = stored_run(path).model_file if path.is_dir() else path
    inputs = read_inputs(file)
    if inputs is None:  # stored before models said it
        if not path.is_dir():
            raise UserError(
                f"{path} does not say its classes and how images are prepared for it: it was stored by an earlier"
                " version (allowed: its run folder, whose data set says both)"
            )
        inputs = _of_data_set(path, trusted)
    network = load_model(file, trusted=trusted)
    dtype = next(network.parameters()).dtype

    @torch.inference_mode()
    def answer(pixels: Tensor) -> Tensor:
        return torch.softmax(network(normalize(pixels, inputs.mean, inputs.std).to(dtype)).float(), dim=1)

    return inputs, answer


def _of_data_set(path: Path, trusted: bool) -> Inputs:
    """What the model of a run was trained on, by its data set."""
    run = reopen(stored_run(path), trusted=trusted)
    if not run.same_data:
        raise UserError(f"{path}: the model does not say how images are prepared for it, and its data set has changed")
    return run.data.inputs


def _exported(path: Path) -> tuple[Inputs, _Answer]:
    """What an exported model was trained on, and the model."""
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    try:
        loaded = session(path, default_workers() or 1)
    except UserError:
        raise
    except Exception as error:  # of ONNX Runtime, one class per status
        raise UserError(f"{path} is damaged or not an ONNX file: {first_line(error)}") from error
    inputs, preprocessing = read_metadata(loaded.get_modelmeta().custom_metadata_map, path)
    run = answers(loaded)
    if preprocessing != takes_pixels(loaded):
        raise UserError(f"{path}: its input is not what its metadata say")
    if preprocessing:
        return inputs, run
    return inputs, lambda pixels: torch.softmax(run(normalize(pixels, inputs.mean, inputs.std)), dim=1)
