"""effdl: an experiment runner for efficient deep learning.

From Python::

    import effdl

    model = effdl.load_model("outputs/example")     # the stored model, a torch.nn.Module
    folder = effdl.train(["model=mlp", "epochs=5"])  # what `effdl train model=mlp epochs=5` does; the run folder
    found = effdl.predict("outputs/example", "photos")  # the likeliest classes of each image, as `effdl predict`
    rows = effdl.results("outputs")                  # all runs as a pandas.DataFrame, one row per stage

and what code of your own needs: `effdl.Images` and `effdl.Source` (a data set), `effdl.compression_method` and
`effdl.Trainer` (a compression method or a distillation loss). Importing the package is cheap: each of these is
imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from effdl.cli.train import train
    from effdl.compression.method import compression_method
    from effdl.data.source import Images, Source
    from effdl.models.stored import load_model
    from effdl.report.frame import results
    from effdl.runs.predict import predict
    from effdl.training.trainer import Trainer

__version__ = "0.1.0"
__all__ = ["Images", "Source", "Trainer", "compression_method", "load_model", "predict", "results", "train"]

_HOMES = {
    "Images": "effdl.data.source",
    "Source": "effdl.data.source",
    "Trainer": "effdl.training.trainer",
    "compression_method": "effdl.compression.method",
    "load_model": "effdl.models.stored",
    "predict": "effdl.runs.predict",
    "results": "effdl.report.frame",
    "train": "effdl.cli.train",
}


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'effdl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
