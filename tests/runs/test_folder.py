"""The run folder's files: written whole or not at all, also when the disk is full or the process is killed."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from effdl.config.identity import essential, fingerprint, flatten
from effdl.runs.folder import DONE, FAILED, INTERRUPTED, RUNNING, RunFolder
from effdl.runs.unfinished import find_unfinished
from effdl.utils.errors import UserError
from effdl.utils.processes import is_alive, process_start

CONFIG = {
    "seed": 0,
    "resume": False,
    "dataset": {"option": "digits", "root": "data", "download": False, "val": 0.1},
    "compression": {"a": {"level": 0.5}, "b": {"level": None}},
    "topk": [1, 5],
}


def changed(**values):
    return {**CONFIG, **values}


# --- identity of a config


def test_flatten():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None, "f": {}}) == {"a.b": 1, "a.c.d": [2], "e": None, "f": {}}


def test_where_the_data_lies_is_not_part_of_the_experiment():
    moved = changed(resume=True, dataset={**CONFIG["dataset"], "root": "/elsewhere", "download": True})
    assert fingerprint(moved) == fingerprint(CONFIG)
    assert not {"resume", "dataset.root", "dataset.download"} & set(essential(CONFIG))


@pytest.mark.parametrize("key", sorted(set(essential(CONFIG))))
def test_every_other_key_is(key):
    config = json.loads(json.dumps(CONFIG))
    node = config
    *path, last = key.split(".")
    for part in path:
        node = node[part]
    node[last] = "other"
    assert fingerprint(config) != fingerprint(CONFIG)


def test_the_order_of_the_steps_is_part_of_the_experiment():
    steps = CONFIG["compression"]
    assert fingerprint(changed(compression=dict(reversed(steps.items())))) != fingerprint(CONFIG)


def test_a_fingerprint_survives_json():
    assert fingerprint(json.loads(json.dumps(CONFIG))) == fingerprint(CONFIG)
    assert len(fingerprint(CONFIG)) == 64


# --- the folder


def test_a_folder_from_start_to_end(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.run == {}
    assert folder.result == {}
    folder.start(CONFIG, {"threads": 2})
    run = folder.run
    assert run["status"] == RUNNING
    assert (run["pid"], run["host"], run["threads"], run["resumed"]) == (os.getpid(), socket.gethostname(), 2, 0)
    assert run["config"] == CONFIG
    assert run["config_fingerprint"] == fingerprint(CONFIG)
    assert run["started"].endswith("+00:00")
    assert run["ended"] is None
    folder.end(INTERRUPTED, "by the user")
    assert (folder.run["status"], folder.run["reason"]) == (INTERRUPTED, "by the user")
    assert folder.run["ended"] >= run["started"]
    folder.update(started="2001-01-01T00:00:00+00:00")
    folder.start(CONFIG, {})
    assert (folder.run["resumed"], folder.run["started"], folder.run["reason"], folder.run["ended"]) == (
        1,
        "2001-01-01T00:00:00+00:00",
        None,
        None,
    )


def test_a_folder_without_a_run_is_free(tmp_path):
    RunFolder(tmp_path).check_free(CONFIG, resume=False)
    RunFolder(tmp_path / "missing").check_free(CONFIG, resume=True)
    assert os.listdir(tmp_path) == []


def test_a_run_is_not_overwritten_by_accident(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(CONFIG, {})
    folder.end(DONE)
    with pytest.raises(UserError, match=r"already holds a run \(status done\).*hydra.run.dir.*resume=true"):
        folder.check_free(CONFIG, resume=False)
    folder.check_free(CONFIG, resume=True)


def test_another_config_cannot_be_resumed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(CONFIG, {})
    with pytest.raises(UserError, match=r"with seed=1 \(there: 0\), dataset\.val=0\.2 \(there: 0\.1\)$"):
        folder.check_free(changed(seed=1, dataset={**CONFIG["dataset"], "val": 0.2}), resume=True)
    with pytest.raises(UserError, match=r"new=3 \(there: None\)"):
        folder.check_free(changed(new=3), resume=True)
    folder.check_free(changed(resume=True, dataset={**CONFIG["dataset"], "root": "/elsewhere"}), resume=True)


def test_another_order_of_the_steps_cannot_be_resumed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(CONFIG, {})
    with pytest.raises(UserError, match="another order"):
        folder.check_free(changed(compression=dict(reversed(CONFIG["compression"].items()))), resume=True)


def test_a_run_that_goes_on_elsewhere_is_left_alone(tmp_path, child):
    folder = RunFolder(tmp_path)
    folder.start(CONFIG, {})
    folder.update(pid=child.pid, process_started=process_start(child.pid))
    with pytest.raises(UserError, match=f"being written to by process {child.pid}"):
        folder.check_free(CONFIG, resume=True)
    child.kill()
    child.wait()
    folder.check_free(CONFIG, resume=True)


def test_a_damaged_run_file_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    folder.run_file.write_text('{"status": "run')
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        folder.check_free(CONFIG, resume=True)


# --- is it still running?


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def marked(process):
    return {"pid": process.pid, "process_started": process_start(process.pid), "host": socket.gethostname()}


def test_a_process_is_alive_until_it_ends(child):
    run = marked(child)
    assert is_alive(run)
    child.kill()
    while process_start(child.pid) is not None:
        time.sleep(0.01)
    assert not is_alive(run)  # ended, though not yet reaped
    child.wait()
    assert not is_alive(run)


def test_a_later_process_of_the_same_number_is_not_the_run(child):
    run = marked(child)
    assert run["process_started"].isdigit()
    assert not is_alive({**run, "process_started": str(int(run["process_started"]) - 1)})


def test_another_machine_and_this_very_process_do_not_count(child):
    assert not is_alive({**marked(child), "host": "elsewhere"})
    assert not is_alive({**marked(child), "pid": os.getpid()})


def test_a_process_of_another_user_is_alive(child, monkeypatch):
    def refuse(pid, number):
        raise PermissionError

    run = marked(child)
    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(run)


# --- finding what to resume


def test_the_newest_unfinished_run_of_the_config_is_found(tmp_path, child):
    def make(name, status, started, config=CONFIG, **more):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(parents=True)
        folder.start(config, {})
        folder.update(status=status, started=started, **more)

    mine = fingerprint(CONFIG)
    assert find_unfinished(tmp_path, mine) is None
    assert find_unfinished(tmp_path / "missing", mine) is None
    make("z/deep/old", INTERRUPTED, "2026-01-01T00:00:00+00:00")
    assert find_unfinished(tmp_path, mine) == tmp_path / "z/deep/old"
    make("a/newer", FAILED, "2026-01-02T00:00:00+00:00")
    make("b/killed", RUNNING, "2026-01-03T00:00:00+00:00")
    make("c/done", DONE, "2026-01-04T00:00:00+00:00")
    make("d/other", INTERRUPTED, "2026-01-05T00:00:00+00:00", changed(seed=1))
    alive = {"pid": child.pid, "process_started": process_start(child.pid)}
    make("e/alive", RUNNING, "2026-01-06T00:00:00+00:00", **alive)
    for name, text in (("f", "{"), ("g", "[1]"), ("h", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    assert find_unfinished(tmp_path, mine) == tmp_path / "b/killed"
    assert find_unfinished(tmp_path, "unknown") is None


# --- one owner


def test_only_one_of_two_runs_gets_the_folder(tmp_path):
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with first.owned():
        with pytest.raises(UserError, match="run is being written to by another process"), second.owned():
            pass
        first.start(CONFIG, {})
    with second.owned(), pytest.raises(UserError, match="already holds a run"):
        second.check_free(CONFIG, resume=False)


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = (
        "import sys; from effdl.runs.folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).owned(): print('mine', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "mine\n"
    with pytest.raises(UserError, match="another process"), RunFolder(tmp_path).owned():
        pass
    process.kill()
    process.communicate()
    with RunFolder(tmp_path).owned():
        pass


def test_who_waits_gets_it_in_the_end(tmp_path):
    order = []

    def later():
        with RunFolder(tmp_path).owned(wait=True):
            order.append("second")

    with RunFolder(tmp_path).owned():
        thread = threading.Thread(target=later)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"hydra\.run\.dir=.*file/x: "), RunFolder(tmp_path / "file" / "x").owned():
        pass


# --- files bound to their run


@pytest.mark.parametrize(
    "name", ["stages.jsonl", "layers.jsonl", "epochs.jsonl", "result.json", "model.safetensors", "checkpoint.0.pt"]
)
def test_files_without_a_run_are_not_continued(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=rf"holds files of a run \({name}\) but no run\.json"):
        RunFolder(tmp_path).check_free(CONFIG, resume=True)


def test_a_changed_digit_in_run_json_is_noticed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(CONFIG, {"threads": 2})
    text = folder.run_file.read_text()
    folder.run_file.write_text(text.replace('"threads": 2', '"threads": 3'))
    with pytest.raises(UserError, match=r"run\.json is damaged: .*seal"):
        _ = folder.run
    folder.run_file.write_text(text)
    assert folder.run["threads"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '"x"',
        "3",
        "{",
        '{"status": 1, "config": {}}',
        '{"status": "done"}',
        '{"status": "done", "config": []}',
        "[" * 9999,
    ],
)
def test_whatever_run_json_holds_one_message_names_it(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        _ = RunFolder(tmp_path).run


def test_a_result_of_another_run_is_noticed(tmp_path):
    result = {"stages": [{"stage": "dense", "method": "train", "top1": 0.5}], "total": {"epochs": 1}, "files": {}}
    one, other = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "other")
    for folder, seed in ((one, 0), (other, 1)):
        folder.path.mkdir()
        folder.start(changed(seed=seed), {})
        folder.finish(result)
        assert folder.result == result
    one.result_file.write_bytes(other.result_file.read_bytes())
    with pytest.raises(UserError, match=r"result\.json was changed, or is of another run"):
        _ = one.result


def test_what_was_typed_is_kept_when_a_run_is_resumed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(CONFIG, {}, ["model=mlp", "resume=true"])
    folder.start(CONFIG, {}, ["resume=there"])
    assert folder.overrides == ["model=mlp"]


def test_a_lock_that_may_not_be_opened_is_named(tmp_path, monkeypatch):
    def refuse(path, wait):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("effdl.runs.folder.locked", refuse)
    with pytest.raises(UserError, match=r"Permission denied \(.*\.lock\)"), RunFolder(tmp_path).owned():
        pass
