"""Standard output that is closed or full: the display ends, the work goes on."""

import errno
import io
import json
import subprocess
import sys

import pytest

from effdl.cli.streams import Stream, lenient_streams

TRAIN = "train model=mlp model.hidden=[8] epochs=1 dataset.subset=200 energy.enabled=false hydra.run.dir=r"


class Broken(io.StringIO):
    """A stream that fails from the second write on."""

    def __init__(self, number: int):
        super().__init__()
        self.number, self.writes = number, 0

    def write(self, text: str) -> int:
        self.writes += 1
        if self.writes > 1:
            raise OSError(self.number, "broken")
        return super().write(text)


@pytest.mark.parametrize(("number", "full"), [(errno.EPIPE, False), (errno.ENOSPC, True)])
def test_after_the_first_failure_everything_is_discarded(number, full):
    stream = Stream(broken := Broken(number))
    for text in ("a", "b", "c"):
        assert stream.write(text) == 1
    stream.flush()
    assert (broken.getvalue(), broken.writes) == ("a", 2)
    assert stream.is_full == full


def test_what_the_encoding_lacks_is_escaped(monkeypatch):
    raw = io.BytesIO()
    stream = Stream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("1 ± 2\n")
    stream.flush()
    assert raw.getvalue() == b"1 \\xb1 2\n"


def test_streams_that_are_not_there(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with lenient_streams() as output:
        print("nobody reads this")
    assert output.lost is None
    assert sys.stdout is None


def shell(folder, command: str) -> tuple[int, str, str]:
    """Run a line of bash; `effdl` is the command."""
    line = f'set -o pipefail; effdl() {{ {sys.executable} -m effdl "$@"; }}; {command}'
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("end", ["| head -1", ">&-", "> /dev/full", ">&- 2>&- <&-"])
def test_a_training_goes_on_to_its_end(tmp_path, end):
    code, _, error = shell(tmp_path, f"effdl {TRAIN} {end}")
    assert code == 0
    assert error in ("", "effdl: standard output: No space left on device: not everything could be shown\n")
    assert json.loads((tmp_path / "r/run.json").read_text())["status"] == "done"
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert {"result.json", "model.safetensors", "epochs.jsonl", "curves.png", "train.log", "layers.jsonl"} <= names
    assert "failed and is no longer told" not in (tmp_path / "r/train.log").read_text()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("effdl list | head -1", (0, "")),
        ("effdl --help | head -1", (0, "")),
        ("effdl list >&-", (0, "")),
        ("effdl list > /dev/full", (1, "effdl: standard output: No space left on device: not everything could be")),
        ("effdl train --cfg job | head -1", (0, "")),
        ("effdl nothing 2>&-", (2, "")),
    ],
)
def test_what_only_shows_something_ends_quietly(tmp_path, command, expected):
    code, _, error = shell(tmp_path, command)
    assert code == expected[0]
    assert error.startswith(expected[1])
    assert error.count("\n") == bool(expected[1])
