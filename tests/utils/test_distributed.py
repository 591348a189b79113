"""One run in two processes, started by torchrun, against the same run in one; as a script: what each process does."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.measure.energy import Energy
from effdl.models.stored import load_model
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.data_parallel import (
    batch_norm,
    check_shares,
    dropout,
    gather,
    replicated,
    share,
    sync_batch_statistics,
    unified,
)
from effdl.utils.distributed import Group, ending_together, from_main, gathered, join, main_first, rank
from effdl.utils.errors import RunError, UserError
from effdl.utils.rows import Rows

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
QUICK = ("model=convnet", "dropout=0.2", "prune=0.5", "epochs=2", "batch_size=32", "device.threads=1")
QUICK += ("dataset.subset=160", "energy.enabled=false", "hydra.run.dir=run")


class Pair:
    """A command in two processes that find each other as torchrun's do, without its cost of a third; they print into
    `output`."""

    def __init__(self, folder: Path, *command: str):
        with socket.create_server(("localhost", 0)) as server:
            port = server.getsockname()[1]
        names = ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        common = dict(zip(names, ("test", "2", "2", "localhost", str(port)), strict=True))
        reading, writing = os.pipe()
        self.members = [
            subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                stdout=writing,
                stderr=subprocess.STDOUT,
                env={**os.environ, **common, "RANK": str(number), "LOCAL_RANK": str(number)},
            )
            for number in range(2)
        ]
        os.close(writing)
        self.output = os.fdopen(reading)

    def end(self) -> tuple[list[int], str]:
        """Exit codes, and what was printed and not yet read."""
        with self.output:
            text = self.output.read()
        return [member.wait() for member in self.members], text


# --- what each process does when this file is the script


class ConstantMeter:
    """Stands for an energy meter: every phase used one kWh in the first process and two in the second."""

    @contextmanager
    def phase(self):
        yield Energy(1.0, rank() + 1.0, 10.0 * (rank() + 1), cpu_kwh=rank() + 1.0)


def main(folder: Path) -> None:
    """Store what the pieces give on this process's part of a batch, then let the second process fail."""
    join()
    x, norm, layer, quantizer = pieces()
    part = share(x).clone().requires_grad_()
    found, learner = {}, replicated(layer)
    with sync_batch_statistics():
        torch.manual_seed(3)
        found["dropped"] = gather(F.dropout(part, 0.4))
        normed = norm(part)
        loss = (learner(normed) ** 3).mean() + (quantizer(part) ** 2).mean()
    loss.backward()
    found["normed"] = gather(normed)
    found["gradient"] = gather(part.grad) / 2  # of the mean of the processes' losses
    found |= {"weight": layer.weight.grad, "step": gather(quantizer.scale.grad[None]).mean(0)}
    found |= {"mean": norm.running_mean, "var": norm.running_var}
    with torch.no_grad():
        layer.weight += rank()
    found["unified"] = gather(unified(layer).weight[None])
    found["pairs"] = pairs(gather(own := share(x).clone().requires_grad_()))
    found["pairs"].backward()
    found["pairs_gradient"] = gather(own.grad) / 2
    found |= {"gathered": gathered(rank()), "from_main": gathered(from_main(lambda: rank() + 7))}
    found["main_first"] = gathered(main_first(lambda: rank() + 5))
    with ending_together():
        fit_energy(folder)
        if rank() == 0:
            torch.save(found, folder / "found.pt")
        from_main(lambda: None)
        if rank() == 1:
            raise RunError("only one of us fails")
        gathered(None)


def pieces() -> tuple[torch.Tensor, nn.Module, nn.Module, nn.Module]:
    """A batch, a batch norm, a layer and a quantizer, the same in all processes."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 4) * 2 + 5
    x[:4] += 10  # the parts' statistics differ
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return x, norm, nn.Conv2d(3, 2, 3), ActivationQuantizer(4, signed=False)


def pairs(x: torch.Tensor) -> torch.Tensor:
    """A loss over all pairs of images."""
    return (x.flatten(1) @ x.flatten(1).T).square().mean()


def fit_energy(folder: Path) -> None:
    """One epoch on digits with a meter that says what it counts."""
    from effdl.data.build import load
    from effdl.training.callbacks import Callbacks
    from effdl.training.checkpoint import Checkpoint
    from effdl.training.device import Device
    from effdl.training.epoch_log import EpochLog
    from effdl.training.loop import fit
    from effdl.training.optimizers import sgd
    from effdl.training.recipe import Recipe
    from effdl.training.schedules import constant

    split = {"val": 0.2, "folds": None, "fold": 0, "subset": 80, "split_seed": 0, "mirror": False, "pad": 1}
    optimizer = partial(sgd, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)
    fit(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        load({"_target_": "effdl.data.digits.digits", **split}),
        Recipe(epochs=1, batch_size=32, optimizer=optimizer, schedule=constant),
        Device(torch.device("cpu")),
        seed=0,
        checkpoint=Checkpoint(folder, 0, "run"),
        meter=ConstantMeter(),
        callbacks=Callbacks(),
        log=EpochLog(Rows(folder / "epochs.jsonl"), "dense", 0),
    )


# --- the tests


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, str]:
    """The folder where two processes trained undisturbed, and what they printed."""
    folder = tmp_path_factory.mktemp("pair")
    command = [*TORCHRUN, "-m", "effdl", "train", *QUICK]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    return folder, done.stdout


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> tuple[Path, list[int], str]:
    """Where this file ran as a script in two processes, the exit codes and what was printed."""
    folder = tmp_path_factory.mktemp("script")
    codes, output = Pair(folder, __file__, str(folder)).end()
    assert (folder / "found.pt").exists(), output
    return folder, codes, output


def stages(folder: Path) -> list[dict]:
    return json.loads((folder / "result.json").read_text())["stages"]


def test_two_processes_give_the_model_of_one(pair, effdl):
    """To the rounding of float32, although the model has batch norm and dropout and its images are augmented."""
    assert effdl("train", *QUICK)[0] == 0
    alone, both = load_model("run").state_dict(), load_model(pair[0] / "run").state_dict()
    for name, tensor in alone.items():
        torch.testing.assert_close(both[name], tensor, rtol=1e-3, atol=1e-6, msg=name)
    for one, two in zip(Rows(Path("run/epochs.jsonl")).read(), Rows(pair[0] / "run/epochs.jsonl").read(), strict=True):
        assert (one["top1"], one["val_top1"], one["lr"]) == (two["top1"], two["val_top1"], two["lr"])
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert [row["top1"] for row in stages(Path("run"))] == [row["top1"] for row in stages(pair[0] / "run")]


def test_one_process_writes_and_speaks_for_both(pair):
    folder, output = pair
    assert [path.name for path in folder.iterdir()] == ["run"]
    assert json.loads((folder / "run/run.json").read_text())["world_size"] == 2
    assert [row["stage"] for row in Rows(folder / "run/epochs.jsonl").read()] == ["dense", "dense", "prune"]
    assert output.count("dense: epoch 1/2") == output.count("folder: run") == 1


def test_a_killed_pair_resumes_to_the_identical_file(pair, tmp_path):
    command = ("-m", "effdl", "train", *QUICK)
    first = Pair(tmp_path, *command)
    assert any("dense: epoch 1/2" in line for line in first.output)
    for member in first.members:
        member.kill()
    assert first.end()[0] == [-signal.SIGKILL, -signal.SIGKILL]
    codes, output = Pair(tmp_path, *command, "resume=true").end()
    assert codes == [0, 0], output
    assert "continuing after epoch" in output
    assert (tmp_path / "run/model.safetensors").read_bytes() == (pair[0] / "run/model.safetensors").read_bytes()
    assert json.loads((tmp_path / "run/run.json").read_text())["resumed"] == 1


def test_parts_of_a_batch_are_treated_as_the_whole(script):
    found = torch.load(script[0] / "found.pt")
    x, norm, layer, quantizer = pieces()
    torch.manual_seed(3)
    torch.testing.assert_close(found["dropped"], F.dropout(x, 0.4))
    x.requires_grad_()
    torch.testing.assert_close(found["normed"], norm(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close((found["mean"], found["var"]), (norm.running_mean, norm.running_var))
    (
        (layer(F.batch_norm(x, None, None, norm.weight, norm.bias, True)) ** 3).mean() + (quantizer(x) ** 2).mean()
    ).backward()
    torch.testing.assert_close(found["gradient"], x.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["weight"], layer.weight.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["step"], quantizer.scale.grad, rtol=1e-5, atol=0)
    assert torch.equal(found["unified"], torch.stack([layer.weight, layer.weight]))


def test_a_loss_over_pairs_of_images_sees_those_of_all_processes(script):
    found, x = torch.load(script[0] / "found.pt"), pieces()[0].requires_grad_()
    pairs(x).backward()
    torch.testing.assert_close(found["pairs"], pairs(x))
    torch.testing.assert_close(found["pairs_gradient"], x.grad)


def test_values_go_from_one_process_to_the_others(script):
    found = torch.load(script[0] / "found.pt")
    assert (found["gathered"], found["from_main"], found["main_first"]) == ([0, 1], [7, 7], [5, 6])


def test_energy_is_the_sum_over_the_processes(script):
    [row] = Rows(script[0] / "epochs.jsonl").read()
    assert (row["energy_kwh"], row["co2eq_g"], row["cpu_kwh"], row["duration_s"]) == (3.0, 30.0, 3.0, 1.0)
    assert row["memory_peak_bytes"] > 1e7


def test_an_error_in_one_process_ends_all_and_is_told_once(script):
    _, codes, output = script
    assert codes == [1, 1]
    assert "process 0 followed: process 1: only one of us fails" in output
    assert output.count("effdl: only one of us fails") == 1


def test_one_process_alone_gets_what_it_gives():
    x = torch.randn(5, 3)
    assert share(x) is gather(x) is x
    assert gathered(4) == [4]
    assert from_main(lambda: 5) == main_first(lambda: 5) == 5
    torch.testing.assert_close(batch_norm(x, None, None, training=True), F.batch_norm(x, None, None, training=True))
    assert torch.equal(dropout(x, 0.5, training=False), x)
    check_shares(5, 100)


def test_batches_must_divide_among_the_processes(monkeypatch):
    monkeypatch.setattr(Group, "size", 4)
    check_shares(64, 1000)
    with pytest.raises(UserError, match=r"batch_size=66: batches of 66 images .* \(allowed: a multiple of 4\)"):
        check_shares(66, 1000)
    with pytest.raises(UserError, match="batches of 30 images cannot be shared by 4"):
        check_shares(64, 30)


def test_torchrun_starts_one_run(effdl, monkeypatch):
    monkeypatch.setattr("effdl.cli.train.launched", lambda: True)
    monkeypatch.setattr("effdl.cli.train.together", lambda command: command())
    code, _, error = effdl("train", "-m", "prune=0.1,0.2")
    assert code == 2
    assert "-m: torchrun starts the processes of one run" in error


if __name__ == "__main__":
    from effdl.utils.distributed import Followed, leave

    try:
        main(Path(sys.argv[1]))
    except Followed as error:
        print(f"process {rank()} followed: {error}")
    except RunError as error:
        print(f"effdl: {error}")
    leave(1)
