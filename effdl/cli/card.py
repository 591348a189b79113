"""``effdl card FOLDER``: write a Hugging Face model card for a run's stored model."""

from pathlib import Path

from effdl.cli.arguments import command_parser, location, parsed
from effdl.cli.terminal import terminal
from effdl.runs.folder import DONE, RunFolder
from effdl.utils.errors import UserError
from effdl.utils.files import write_atomic

_EXAMPLES = """\
Examples:
  effdl card outputs/2026-01-31/12-00-00
  effdl card my_run --license mit
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    parser = command_parser(
        "card",
        "Write FOLDER/README.md: a model card with results, cost and how to load and reproduce the model.",
        _EXAMPLES,
    )
    parser.add_argument("folder", type=location, help="a folder that `effdl train` made")
    parser.add_argument("--license", help="an identifier of the Hub, such as mit or apache-2.0 (none is stated)")
    args = parsed(parser, arguments)
    folder = finished(args.folder)
    path = folder.path / "README.md"
    write_atomic(path, card(folder, args.license).encode())
    terminal().print(f"card: {path}", soft_wrap=True, highlight=False)
    return 0


def finished(path: Path) -> RunFolder:
    """A folder whose run is done.

    Raises:
        UserError: it is not.
    """
    from effdl.runs.reopen import stored_run

    folder = stored_run(path)
    if folder.run["status"] != DONE or not folder.result:
        raise UserError(f"{path}: the run is not complete (status {folder.run['status']}): resume it first")
    return folder


def card(folder: RunFolder, license: str | None) -> str:
    """The card of a run, metadata in front.

    Raises:
        UserError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError as error:
        raise UserError("card needs huggingface_hub: pip install 'effdl[hub]'") from error
    from effdl.models.stored import read_description
    from effdl.report.card import evaluations, metadata, text

    run, result = folder.run, folder.result
    data = ModelCardData(
        **metadata(run, result),
        license=license,
        eval_results=[EvalResult(**evaluation) for evaluation in evaluations(run, result)],
    )
    body = text(run, result, read_description(folder.model_file), folder.overrides)
    return f"---\n{data.to_yaml()}\n---\n\n{body}"
