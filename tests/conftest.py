"""What all tests share."""

import logging
import os
import signal
import sys

import pytest

# One thread, here and in the processes that tests start, unless the environment says another number: the models are
# small, and threads that wait for cores that another process holds make a second into a minute.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def default_threads():
    """The threads of one test's runs do not stay for the next test."""
    yield
    import torch

    from effdl.training.device import DEFAULT_THREADS

    torch.set_num_threads(DEFAULT_THREADS)


# A shell that starts the suite in the background ignores Ctrl-C in it, and so would the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def hurried():
    """Inferences are timed as few times as a measurement allows: most tests of runs are not about their speed.

    What measures time is tested with its own budgets (tests/measure, tests/deploy). The fixture `monkeypatch` is not
    asked for: in every test it would be made before, so undone after, all that the test asks for.
    """
    from effdl.measure import timing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "repeat", lambda run, at_least, at_most, budget_s: [run() for _ in range(at_least)])
        yield


@pytest.fixture
def cuda():
    """The GPU, for tests with the marker of its name; they are skipped where there is none."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    return torch.device("cuda")


@pytest.fixture
def forget(monkeypatch):
    """Forget modules, and what lies in them, until the test ends: what imports them then imports them anew.

    A package holds its modules as attributes too, and `monkeypatch` follows these: were they left as the test made
    them, later tests would patch its modules and run those that they imported themselves.
    """
    forgotten: list[str] = []

    def among(names: list[str]) -> list[str]:
        return [name for name in list(sys.modules) if f"{name}.".startswith(tuple(f"{it}." for it in names))]

    def forget(*names: str):
        forgotten.extend(names)
        for name in among(names):
            package, _, module = name.rpartition(".")
            if package in sys.modules and module in vars(sys.modules[package]):
                monkeypatch.delattr(sys.modules[package], module)
            monkeypatch.delitem(sys.modules, name)

    yield forget
    for name in among(forgotten):  # `monkeypatch`, which ends later, brings back those that were there
        del sys.modules[name]


@pytest.fixture(scope="session")
def digits_config():
    """The config of the digits, all of them and a fifth to validate on, and what is given besides."""
    keys = {"val": 0.2, "folds": None, "fold": 0, "subset": None, "split_seed": 0, "mirror": False, "pad": 1}
    return lambda **given: {"_target_": "effdl.data.digits.digits", **keys, **given}


@pytest.fixture
def effdl(tmp_path, monkeypatch, capfd):
    """Run a command in this process and an empty folder; returns exit code, standard output and error."""
    from effdl.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(logging.root, "handlers", logging.root.handlers[:])  # Hydra's --info leaves one

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["effdl", *arguments])
        code = main(list(arguments))
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
