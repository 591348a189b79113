"""What is shown when a run is over."""

from rich.console import Console

from effdl.report.table import stages_table
from effdl.results import RunFolder


def show_result(folder: RunFolder, console: Console) -> None:
    """The table of a finished run, what its energy figures rest on, and where everything is."""
    result = folder.result
    config = folder.run["config"]
    console.print(stages_table(result["stages"], f"{name_of(config['model'])} on {name_of(config['dataset'])}"))
    for row in result["stages"]:
        if note := row.get("speed") or row.get("latency_note"):
            console.print(f"speed of {row['stage']}: {note}", highlight=False, soft_wrap=True)
    total = result["total"]
    sources = ", ".join(f"{part} {how}" for part, how in total["source"].items())
    console.print(f"energy: {sources}; grid {total['energy']['grid_source']}", highlight=False)
    console.print(f"folder: {folder.path}", highlight=False, soft_wrap=True)


def name_of(node: dict) -> str:
    """The function that a config node names, with the library's name of the model if it has one."""
    return " ".join([node["_target_"].rpartition(".")[2], *([node["name"]] if "name" in node else [])])
