"""What is shown and drawn of one run: its table when it is over, its curves after every stage."""

from typing import TYPE_CHECKING

from rich.console import Console

from effdl.config.naming import title
from effdl.report.energy_basis import energy_basis
from effdl.report.table import stages_table
from effdl.runs.folder import RunFolder
from effdl.utils.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor


def show_result(folder: RunFolder, console: Console) -> None:
    """The table of a finished run, what its energy figures rest on, and where everything is."""
    result = folder.result
    console.print(stages_table(result["stages"], title(folder.run["config"])))
    for row in result["stages"]:
        if note := row.get("speed") or row.get("latency_note"):
            console.print(f"speed of {row['stage']}: {note}", highlight=False, soft_wrap=True)
    total = result["total"]
    basis = energy_basis(total)
    console.print(f"energy: {basis}; grid {total['energy']['grid_source']}", highlight=False, soft_wrap=True)
    console.print(f"folder: {folder.path}", highlight=False, soft_wrap=True)


class CurvesPicture:
    """A callback that draws the training curves of a run into its folder, anew after every stage.

    Beside them what an autoencoder drew.
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder

    def stage_end(self, row: dict) -> None:
        """Draw what there is."""
        from effdl.report.plots.curves import curves  # matplotlib takes long to import

        if epochs := self.folder.epochs.read():
            write_atomic(self.folder.curves_file, curves(epochs, str(self.folder.path)))

    def drawn(self, pictures: "Tensor") -> None:
        """Draw images of each of which there are three: as it is, as it was seen, and as it was drawn."""
        from effdl.report.plots.drawings import drawings

        write_atomic(self.folder.drawings_file, drawings(pictures))
