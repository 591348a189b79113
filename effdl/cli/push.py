"""``effdl push FOLDER REPO_ID``: upload a run's stored model and its card to the Hugging Face Hub."""

import os
import shutil
import tempfile
from pathlib import Path

from effdl.cli.arguments import command_parser, location, named, parsed
from effdl.cli.card import card, finished
from effdl.cli.terminal import terminal
from effdl.report.scrub import scrubbed
from effdl.runs.folder import RunFolder
from effdl.utils.errors import RunError, UserError, first_line

_EXAMPLES = """\
Examples:
  effdl push outputs/2026-01-31/12-00-00 my-name/lenet300-pruned --private

Uploads model.safetensors, README.md (the card; written if there is none), result.json and run.json, the last two
without host names and absolute paths. Log in with `hf auth login`, or set HF_TOKEN; HF_ENDPOINT names another Hub.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    parser = command_parser(
        "push",
        "Upload a run's stored model and its card to the Hugging Face Hub.",
        _EXAMPLES,
    )
    parser.add_argument("folder", type=location, help="a folder that `effdl train` made")
    parser.add_argument("repo", type=named, metavar="REPO_ID", help="USER/NAME; created if it is not there")
    parser.add_argument("--private", action="store_true", help="create it as a private one")
    args = parsed(parser, arguments)
    folder = finished(args.folder)
    with tempfile.TemporaryDirectory() as temporary:
        _staged(folder, Path(temporary))
        address = _upload(Path(temporary), args.repo, args.private)
    terminal().print(f"pushed: {address}", soft_wrap=True, highlight=False)
    return 0


def _staged(folder: RunFolder, to: Path) -> None:
    """Put what is uploaded into a folder."""
    shutil.copyfile(folder.model_file, to / "model.safetensors")
    own = folder.path / "README.md"
    (to / "README.md").write_text(own.read_text() if own.exists() else card(folder, None))
    staged = RunFolder(to)
    staged.write_run(scrubbed(folder.run))
    files = {name: digest for name, digest in folder.result.get("files", {}).items() if (to / name).exists()}
    staged.finish({**scrubbed(folder.result), "files": files})


def _upload(folder: Path, repo: str, private: bool) -> str:
    """Create the repository if need be and upload the folder in one commit; returns its address.

    Raises:
        UserError: the library is missing, or the Hub refuses the name or the user.
        RunError: the Hub cannot be reached or fails.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    except ImportError as error:
        raise UserError("push needs huggingface_hub: pip install 'effdl[hub]'") from error
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="effdl")
    try:
        address = api.create_repo(repo, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=address.repo_id, folder_path=folder, commit_message="Upload by effdl")
    except HFValidationError as error:
        raise UserError(f"push {repo}: allowed is USER/NAME ({error})") from error
    except LocalTokenNotFoundError as error:
        raise UserError("push: nobody is logged in: run `hf auth login`, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            hint = "log in with `hf auth login`, or set HF_TOKEN to a token that may write there"
            raise UserError(f"push {repo}: {api.endpoint} refuses this user ({status}): {hint}") from error
        raise RunError(f"push {repo}: {api.endpoint} answered {status}: {first_line(error)}") from error
    except (OSError, *HfHubHTTPError.__bases__) as error:  # no connection: what the library's HTTP client raises
        raise RunError(f"push {repo}: {api.endpoint} cannot be reached: {first_line(error)}") from error
    return str(address)
