"""``effdl clean``: what it deletes, and above all what it does not."""

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from effdl.runs.folder import RunFolder
from effdl.runs.leftovers import delete, leftovers

QUICK = ("model=mlp", "epochs=1", "energy.enabled=false")


def contents(root: str = ".") -> dict[Path, bytes]:
    """All files below a folder."""
    return {file: file.read_bytes() for file in sorted(Path(root).rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Where what the first test makes is kept for the others."""
    return tmp_path_factory.mktemp("shelf") / "outputs"


@pytest.fixture
def runs(effdl, monkeypatch, shelf):
    """A run of each kind in ``outputs``, and a folder of something else."""
    from effdl.runs.runner import Runner

    if shelf.exists():
        shutil.copytree(shelf, "outputs")
        return
    assert effdl("train", *QUICK, "hydra.run.dir=outputs/done")[0] == 0
    assert effdl("train", *QUICK, "optimizer.lr=1e20", "hydra.run.dir=outputs/failed")[0] == 1

    def interrupt(self, *_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "store", interrupt)
        assert effdl("train", *QUICK, "hydra.run.dir=outputs/unfinished")[0] == 130
    Path("outputs/2026-01-31/12-00-00").mkdir(parents=True)
    Path("outputs/notes").mkdir()
    Path("outputs/notes/checkpoint.0.pt").write_text("not of a run")
    Path("outputs/empty").mkdir()
    shutil.copytree("outputs", shelf)


def test_it_shows_what_it_would_delete_and_changes_nothing(effdl, runs):
    before = contents()
    code, output, error = effdl("clean")
    assert (code, error) == (0, "")
    assert contents() == before
    freed = sum(file.stat().st_size for file in Path("outputs/done").glob("checkpoint.*"))
    freed += sum(file.stat().st_size for file in Path("outputs/failed").rglob("*") if file.is_file())
    assert f"Could be deleted: {freed / 1e3:.1f} KB" in output
    for words in (
        ["outputs/done", "checkpoints of a finished run"],
        ["outputs/failed", "a failed run"],
        ["outputs/2026-01-31/12-00-00", "an empty run folder"],
    ):
        assert any(all(word in line for word in words) for line in output.splitlines())
    assert "unfinished" not in output
    assert "notes" not in output
    assert "outputs/empty" not in output


def test_it_deletes_that_and_nothing_else(effdl, runs):
    kept = {
        file: data
        for file, data in contents().items()
        if not file.is_relative_to("outputs/failed") and not file.match("outputs/done/checkpoint.*")
    }
    code, output, error = effdl("clean", "--yes")
    assert (code, error) == (0, "")
    assert "freed" in output
    assert contents() == kept
    assert {path.name for path in Path("outputs").iterdir()} == {"done", "unfinished", "notes", "empty"}
    assert effdl("clean", "--yes")[1] == "nothing to delete\n"
    assert effdl("evaluate", "outputs/done")[0] == 0
    assert effdl("train", "resume=outputs/unfinished")[0] == 0  # from its checkpoint


def test_a_run_that_a_process_is_at_is_left_alone(effdl, runs):
    before = contents()
    hold = "import sys; from effdl.runs.folder import RunFolder\n"
    hold += "with RunFolder(sys.argv[1]).owned(): print(1, flush=True); input()"
    with ExitStack() as stack:
        for name in ("done", "failed"):
            command = [sys.executable, "-c", hold, f"outputs/{name}"]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            assert process.stdout.readline() == b"1\n"
            stack.callback(process.stdin.close)
        assert effdl("clean", "outputs/done", "outputs/failed", "--yes")[:2] == (0, "nothing to delete\n")
    assert contents() == before


def test_a_run_that_went_on_since_it_was_found_is_left_alone(effdl, runs):
    found = {item.folder.name: item for item in leftovers(Path("outputs"))}
    RunFolder("outputs/failed").update(status="running")
    assert delete(found["failed"]) is None
    with RunFolder("outputs/done").owned():
        assert delete(found["done"]) is None
    size = found["done"].size_bytes
    assert delete(found["done"]) == size > 0


def test_a_failed_run_with_files_of_another_kind_is_left_alone(effdl, runs):
    Path("outputs/failed/notes.txt").write_text("mine")
    assert effdl("clean", "outputs/failed", "--yes")[1] == "nothing to delete\n"
    Path("outputs/failed/notes.txt").unlink()
    Path("outputs/failed/link").symlink_to("../notes")
    assert effdl("clean", "outputs/failed", "--yes")[1] == "nothing to delete\n"
    assert Path("outputs/notes/checkpoint.0.pt").exists()


def test_a_damaged_run_is_left_alone(effdl, runs):
    file = Path("outputs/failed/run.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"reason": "another"}))
    assert effdl("clean", "outputs/failed", "--yes")[1] == "nothing to delete\n"


def test_runs_of_an_earlier_layout_have_no_lock_and_get_none(effdl, runs):
    Path("outputs/done/.lock").unlink()
    code, output, _ = effdl("clean", "outputs/done", "--yes")
    assert (code, "checkpoints of a finished run" in output) == (0, True)
    assert not list(Path("outputs/done").glob("checkpoint.*"))
    assert not Path("outputs/done/.lock").exists()


def test_a_folder_that_is_not_there(effdl):
    code, _, error = effdl("clean", "nowhere")
    assert (code, error) == (2, "effdl: clean: nowhere is not a folder\n")
