"""Files bound to their run: whatever is changed, lost or mixed up is named by every command that reads it."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from effdl.cli.main import main
from effdl.runs.folder import RunFolder
from effdl.runs.verify import verify, verify_model
from effdl.utils.errors import UserError

QUICK = ("model=mlp", "model.hidden=[8]", "prune=0.5", "epochs=1", "dataset.subset=200", "energy.enabled=false")
BOUND = ("stages.jsonl", "layers.jsonl", "epochs.jsonl", "model.safetensors")
READERS = (("evaluate",), ("card",), ("export", "format=torch_export"), ("sensitivity", "quantize="))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs that differ in their seed."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        assert main(["train", *QUICK, f"seed={seed}", f"hydra.run.dir={folder}/{seed}"]) == 0
    return folder


@pytest.fixture
def folder(runs, tmp_path):
    """A copy of the first."""
    return RunFolder(shutil.copytree(runs / "0", tmp_path / "copy"))


def changed_digit(file: Path, key: str) -> None:
    """Change a digit of the first number behind a key: the first one behind the point, if it has one."""
    head, name, rest = file.read_text().partition(f'"{key}": ')
    number = re.match(r"[\d.]+", rest)[0]
    place = number.find(".") + 1
    other = str((int(number[place]) + 1) % 10)
    file.write_text(head + name + rest[:place] + other + rest[place + 1 :])


def test_a_run_that_nobody_touched_is_in_order(folder):
    verify(folder)
    verify_model(folder)


@pytest.mark.parametrize("name", [*BOUND, "result.json"])
def test_a_file_of_another_run_is_named(runs, folder, name):
    shutil.copyfile(runs / "1" / name, folder.path / name)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        verify(folder)


@pytest.mark.parametrize("name", [*BOUND, "result.json"])
def test_a_missing_file_is_named(folder, name):
    (folder.path / name).unlink()
    with pytest.raises(UserError, match=name.replace(".", r"\.") + " is missing"):
        verify(folder)


@pytest.mark.parametrize("name", [*BOUND, "result.json", "run.json"])
def test_a_folder_in_place_of_a_file_is_named(folder, name):
    (folder.path / name).unlink()
    (folder.path / name).mkdir()
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        verify(folder)


@pytest.mark.parametrize("name", ["stages.jsonl", "layers.jsonl", "epochs.jsonl"])
def test_a_lost_row_is_named(folder, name):
    file = folder.path / name
    lines = file.read_bytes().splitlines(keepends=True)
    for kept in (lines[1:], lines[:-1]):
        file.write_bytes(b"".join(kept))
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            verify(folder)


@pytest.mark.parametrize(
    ("name", "key"),
    [("result.json", "top1"), ("result.json", "duration_s"), ("stages.jsonl", "top1"), ("run.json", "seed")],
)
def test_a_changed_digit_is_named_by_every_command(folder, effdl, name, key):
    changed_digit(folder.path / name, key)
    for command, *options in (*READERS, ("report",)):
        code, output, error = effdl(command, str(folder.path), *options)
        assert code == 2, command
        assert name in error
        assert "%" not in output
    code, output, error = effdl("train", f"resume={folder.path}")
    assert (code, name in error) == (2, True)


def test_a_foreign_model_is_no_model_of_the_run(runs, folder, effdl):
    shutil.copyfile(runs / "1" / "model.safetensors", folder.model_file)
    for command, *options in (*READERS, ("report",)):
        code, _, error = effdl(command, str(folder.path), *options)
        assert code == 2, command
        assert "model.safetensors was changed, or is of another run" in error


def test_lost_layers_do_not_change_a_score(folder, effdl):
    lines = folder.layers_file.read_bytes().splitlines(keepends=True)
    folder.layers_file.write_bytes(b"".join(lines[:-1]))
    code, output, error = effdl("report", str(folder.path), "--scores", "micronet")
    assert code == 2
    assert "layers.jsonl" in error
    assert "micronet" not in output


def test_damaged_runs_do_not_keep_others_from_a_report(runs, tmp_path, effdl):
    shutil.copytree(runs, tmp_path / "runs")
    changed_digit(tmp_path / "runs" / "1" / "result.json", "top1")
    code, output, error = effdl("report", str(tmp_path / "runs"))
    assert code == 0
    assert "skipped" in error
    assert "result.json" in error
    assert "1 done" in output


# --- unfinished runs


@pytest.fixture
def unfinished(folder):
    """The first run as a kill leaves it: its last stage stored, but not measured."""
    folder.stages.write(folder.stages.read()[:1])
    folder.layers.write([row for row in folder.layers.read() if row["stage"] == "dense"])
    folder.result_file.unlink()
    folder.update(status="running", pid=0)
    return folder


def test_an_unfinished_run_in_order_is_resumed_to_the_same_model(runs, unfinished, effdl):
    assert effdl("train", f"resume={unfinished.path}")[0] == 0
    assert unfinished.model_file.read_bytes() == (runs / "0" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "name", ["stages.jsonl", "layers.jsonl", "epochs.jsonl", "model.safetensors", "checkpoint.0.pt", "checkpoint.1.pt"]
)
def test_files_of_another_run_are_not_continued(runs, unfinished, effdl, name):
    shutil.copyfile(runs / "1" / name, unfinished.path / name)
    before = {path.name: path.read_bytes() for path in unfinished.path.iterdir() if path.is_file()}
    code, _, error = effdl("train", f"resume={unfinished.path}")
    assert code == 2
    assert name in error
    assert "another run" in error
    assert {path.name: path.read_bytes() for path in unfinished.path.iterdir() if path.is_file()} == before


def test_a_checkpoint_of_another_training_is_not_continued(unfinished, effdl):
    shutil.copyfile(unfinished.path / "checkpoint.1.pt", unfinished.path / "checkpoint.0.pt")
    code, _, error = effdl("train", f"resume={unfinished.path}")
    assert code == 2
    assert "checkpoint.0.pt is of another run or training" in error


def test_a_measured_stage_needs_all_its_layers(unfinished):
    unfinished.layers.write(unfinished.layers.read()[:-1])
    with pytest.raises(UserError, match=r"layers\.jsonl is damaged: it has 1 layers of stage dense instead of 2"):
        verify(unfinished)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("layers.jsonl", r"layers\.jsonl is damaged: it has 0 layers of stage dense instead of 2"),
        ("epochs.jsonl", r"epochs\.jsonl is damaged: it has 0 epochs of stage dense instead of \d"),
        ("stages.jsonl", r"stages\.jsonl is damaged: it has no row of stage dense, which others followed"),
    ],
)
def test_lost_rows_of_an_unfinished_run_are_named(unfinished, effdl, name, message):
    (unfinished.path / name).unlink()
    for command in (["evaluate", str(unfinished.path)], ["train", f"resume={unfinished.path}"]):
        code, _, error = effdl(*command)
        assert code == 2
        assert re.search(message, error)


def test_a_foreign_model_of_an_unfinished_run_is_not_evaluated(runs, unfinished, effdl):
    shutil.copyfile(runs / "1" / "model.safetensors", unfinished.model_file)
    code, output, error = effdl("evaluate", str(unfinished.path))
    assert code == 2
    assert "model.safetensors is of another run" in error
    assert "cut off" not in output


def test_without_run_json_nothing_is_continued(runs, folder, effdl):
    """Another config would be shown the results of this one as its own."""
    folder.run_file.unlink()
    code, output, error = effdl(
        "train", *QUICK, "seed=1", "optimizer.lr=0.5", f"hydra.run.dir={folder.path}", "resume=true"
    )
    assert code == 2
    assert "holds files of a run" in error
    assert "choose another hydra.run.dir, or empty the folder" in error
    assert "%" not in output
    assert not folder.run_file.exists()


def test_a_run_of_another_program_is_no_run(tmp_path, effdl):
    (tmp_path / "run.json").write_text(json.dumps({"name": "something else"}))
    code, _, error = effdl("evaluate", str(tmp_path))
    assert code == 2
    assert "run.json is damaged" in error
    assert os.listdir(tmp_path) == ["run.json"]
