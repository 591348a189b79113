"""Wrong uses of every kind: one message that names the key and its value, the exit code, and nothing left behind."""

import json
import shutil
from pathlib import Path

import pytest

from effdl.cli.main import main

BASE = ("model=mlp", "model.hidden=[8]", "epochs=1", "dataset.subset=200", "energy.enabled=false")

# What is typed after `effdl train BASE`, and what the message says.
REFUSED = {
    "hydra.run.dir=/proc/x": "hydra.run.dir=/proc/x: No such file or directory",
    "hydra.run.dir=f/x": "hydra.run.dir=f/x: Not a directory",
    "hydra.run.dir=f": "hydra.run.dir=f: Not a directory",
    "hydra.run.dir=${nope}": "hydra.run.dir: Interpolation key 'nope' not found",
    f"hydra.run.dir={'x' * 300}": "xxx: File name too long",
    "hydra.mode=MULTIRUN": "hydra.mode=MULTIRUN: what to do is said by flags (allowed: -m for a sweep",
    "hydra.mode=RUN -m seed=0,1": "hydra.mode=RUN: what to do is said by flags",
    "hydra.sweeper.max_batch_size=0 -m seed=0,1": "hydra.sweeper.max_batch_size=0: allowed is a whole number >= 1",
    "hydra.sweeper.max_batch_size=x -m seed=0,1": "hydra.sweeper.max_batch_size=x: allowed is a whole number >= 1",
    "-m seed=range(3,1)": "seed=range(3,1): no value is in this range",
    "-m seed=range(0,1,0)": "seed=range(0,1,0): the step is 0",
    "-m seed=range(0,0.5,0.0)": "seed=range(0,0.5,0.0): the step is 0",
    "-m seed=range(0,1000000000)": "seed=range(0,1000000000): more values than are swept (allowed: 10,000)",
    "-m seed=0,0": "seed=0,0: 0 is there twice",
    "-m prune=0.5,0.50": "prune=0.5,0.50: 0.5 is there twice",
    f"-m seed=0,1 hydra.sweep.subdir={'x' * 300}": "xxx: File name too long",
    "-m seed=0,1 seed=2": "seed=0,1: seed is given again behind it",
    "-m hydra/launcher=joblib hydra.launcher.n_jobs=0 seed=0,1": "hydra.launcher.n_jobs=0: allowed is a whole number",
    "hydra/sweeper=optuna hydra.sweeper.storage=/proc/x hydra.sweeper.n_trials=1 -m prune=interval(0.1,0.9)": (
        "hydra.sweeper.storage=/proc/x: allowed is the name of a file in the folder of the sweep"
    ),
    "hydra/sweeper=optuna hydra.sweeper.objectives=[top2] -m prune=interval(0.1,0.9)": (
        "hydra.sweeper.objectives: top2 is not measured as a number (allowed: val_top1, val_top5, val_loss, "
    ),
    "hydra/sweeper=optuna hydra.sweeper.objectives=[top1] -m prune=interval(0.1,0.9)": (
        "hydra.sweeper.objectives: top1 is of the test split, which no choice may see (allowed: val_top1)"
    ),
    "hydra/sweeper=optuna hydra.sweeper.objectives=[size_bytes,loss] -m prune=interval(0.1,0.9)": (
        "hydra.sweeper.objectives: loss is of the test split, which no choice may see (allowed: val_loss)"
    ),
    "hydra/sweeper=optuna hydra.sweeper.objectives=[val_knn_top1] -m prune=interval(0.1,0.9)": (
        "hydra.sweeper.objectives: val_knn_top1 is of a pretraining (allowed: val_top1, "
    ),
    "hydra/sweeper=optuna pretraining=rotation epochs=0 -m optimizer.lr=interval(0.1,0.9)": (
        "hydra.sweeper.objectives: val_top1 is of a last layer that learns nothing with epochs=0 (allowed: val_knn_top1"
    ),
    "hydra/sweeper=optuna hydra.sweeper.objectives=[train_top1] pretraining=rotation epochs=0 "
    "-m optimizer.lr=interval(0.1,0.9)": (
        "hydra.sweeper.objectives: train_top1 is of a last layer that learns nothing with epochs=0 (allowed: val_knn"
    ),
    "hydra/sweeper=optuna dataset.val=0 -m prune=interval(0.1,0.9)": (
        "hydra.sweeper.objectives: val_top1 needs a validation split: set dataset.val above 0"
    ),
    "hydra/sweeper=optuna hydra.sweeper.objectives=[latency_note] -m prune=interval(0.1,0.9)": (
        "hydra.sweeper.objectives: latency_note is not measured as a number"
    ),
    "hydra/sweeper=optuna hydra.sweeper.pruner=median hydra.sweeper.objectives=[macs] dataset.val=0 -m prune=0.1,0.9": (
        "hydra.sweeper.pruner=median needs a validation split: set dataset.val above 0"
    ),
    "-m seed=0,1 --cfg job": "--multirun --cfg: allowed is one of --run, --multirun, --cfg, --info",
    "--resolve": "--resolve: allowed with --cfg or --help only",
    "-prune=0.5": "-prune=0.5: -prune is not a flag; did you mean prune=0.5?",
    "--prune=0.5": "--prune=0.5: --prune is not a flag; did you mean prune=0.5?",
    "-prune": "-prune: -prune is not a flag (flags: ",
    "--experimental-rerun x.pickle": "--experimental-rerun x.pickle: it would unpickle a file",
    "--config-name other": "--config-name other: the config is effdl's own",
    "--config-path other": "--config-path other: the configs are effdl's own",
    "dataset._target_=effdl.models.mlp.mlp": "dataset._target_=effdl.models.mlp.mlp: _target_ names code",
    "model._target_=builtins.int": "model._target_=builtins.int: _target_ names code",
    "+model._partial_=true": "+model._partial_=true: _partial_ names code",
    "+model._convert_=all": "+model._convert_=all: _convert_ names code",
    "+model._recursive_=true": "+model._recursive_=true: _recursive_ names code",
    "+model._args_=[1]": "+model._args_=[1]: _args_ names code",
    "optimizer._partial_=false": "optimizer._partial_=false: _partial_ names code",
    "+augment.x._target_=os.system": "+augment.x._target_=os.system: _target_ names code",
    "+augment.x={_target_:os.system}": "+augment.x={_target_:os.system}: _target_ names code",
    "+augment.x={a:[{_target_:os.system}]}": "_target_ names code",
    "hydra.launcher._target_=os.system": "hydra.launcher._target_=os.system: _target_ names code",
    "-m model._target_=a.b,c.d": "model._target_=a.b: _target_ names code",
    "+compression.x=3": "compression.x=3: allowed is one of the options that `effdl list compression` shows",
    "+logger.x=true": "logger.x=true: allowed is one of the options that `effdl list logger` shows",
    "+metric.x=[1]": "metric.x=[1]: allowed is one of the options that `effdl list metric` shows",
    "prune=0.5 compression.magnitude.stage=teacher": "compression.magnitude.stage=teacher: allowed is a word, but not",
    "prune=0.5 compression.magnitude.stage=dense": "compression.magnitude.stage=dense: allowed is a word, but not",
    "prune=0.5 compression.magnitude.stage=a-b": "compression.magnitude.stage=a-b: allowed is a word",
    "batch_size=1 dataset.subset=20 model.batchnorm=true": "batch_size=1 and 18 training images: a batch is one image",
    "distill=": "distill=: allowed is a run folder, self, peer, born_again or teacher, or null",
    "resume=": "resume=: allowed is true or false, or a run folder",
    "optimizer.lr=${nope}": "optimizer.lr: Interpolation key 'nope' not found",
    "quantize=${nope}": "quantize: Interpolation key 'nope' not found",
    "lr=0.1": "lr is not a key; did you mean 'optimizer.lr'?",
    "model=resnet,mlp": "model=resnet,mlp: several values are a sweep, which needs -m",
    "dataset=/data/photos": (
        "dataset=/data/photos is not an option (a folder of images: dataset=image_folder dataset.root=/data/photos)"
    ),
    "prune=0.5)": "prune=0.5): allowed is a number >= 0 and < 1",
    "metric=${oc.env:NOPE}": "metric=${oc.env:NOPE}: Error resolving interpolation",
    "model=${nope}": "model=${nope}: Error resolving interpolation '${nope}'",
    "hydra.job.env_copy=[${nope}]": "hydra.job.env_copy=[${nope}]: Interpolation key 'nope' not found",
    "hydra.job_logging.root=${nope}": "hydra.job_logging.root: Interpolation key 'nope' not found",
    "hydra.hydra_logging.root=${nope}": "hydra.hydra_logging.root: Interpolation key 'nope' not found",
    "hydra.job.env_set=${seed}${epochs}": "hydra.job.env_set: Interpolation key 'seed' not found",
    "hydra.job_logging.root=xxx": "hydra.job_logging.root='xxx': must be a valid dictionary",
    "hydra.job_logging.version=2": "hydra.job_logging.version=2: must be 1",
    "-m seed=0,1 hydra.hydra_logging.root=xxx": "hydra.hydra_logging.root='xxx': must be a valid dictionary",
    "hydra/job_logging=default hydra.job_logging.root.level=LOUD": "hydra.job_logging.root.level=LOUD: allowed is one",
    "hydra/job_logging=default hydra.job_logging.root.handlers=[fiel]": (
        "hydra.job_logging.root.handlers: no handler 'fiel'; did you mean 'file'? (allowed: console, file)"
    ),
    "hydra/sweeper=-inf": "hydra/sweeper=-inf: Config group override must be a string",
    "hydra/launcher='${nope'": "hydra/launcher='${nope': no viable alternative",
    "hydra/sweeper=optuna hydra.sweeper.storage=??? -m prune=interval(0.1,0.9)": (
        "hydra.sweeper.storage: Missing mandatory value"
    ),
    "hydra.output_subdir=${nope}": "hydra.output_subdir: Interpolation key 'nope' not found",
    "hydra.verbose=-inf": "hydra.verbose=-inf: allowed is true, false, a logger, or a list of loggers",
    "-h a=b": "a is not a key",
    "hydra.launcher.n_jobs=x hydra/launcher=joblib -m seed=0,1": "hydra.launcher.n_jobs=x",
    "prune=0.5 compression.magnitude.amounts=f": "/f is damaged: Invalid JSON",
    "prune=0.5 compression.magnitude.amounts=nan.json": "/nan.json is damaged: 1=nan",
    "prune=0.5 compression.magnitude.amounts=.": ": not a regular file",
}


def files() -> list[str]:
    """All that is below the working folder."""
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize("arguments", REFUSED, ids=lambda text: text[:60])
def test_a_wrong_training_is_refused_by_one_line(effdl, arguments):
    Path("f").write_text("")
    Path("nan.json").write_text('{"1": NaN}')
    before = files()
    code, output, error = effdl("train", *BASE, *arguments.split(" "))
    assert (code, output) == (2, "")
    assert error.startswith("effdl: ")
    assert error.count("\n") == 1
    assert REFUSED[arguments] in error
    assert files() == before


# --- the other commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("trained") / "r"
    assert main(["train", *BASE, f"hydra.run.dir={folder}"]) == 0
    return folder


OTHERS = {
    "report r --format csv --output f/x.csv": "--output f/x.csv: Not a directory (allowed: a folder that can be",
    "report r --output r": "--output r: that is a folder (allowed: a file)",
    "report r --plots f": "--plots f: Not a directory",
    "report r --html f/x.html": "--html f/x.html: Not a directory",
    "sensitivity r prune= quantize=": "prune= quantize=: nothing to do",
    "sensitivity r tolerance=nan": "tolerance=nan: allowed is one number from 0 to 1",
    "sensitivity r tolerance=-1": "tolerance=-1: allowed is one number from 0 to 1",
    "sensitivity r tolerance=inf": "tolerance=inf: allowed is one number from 0 to 1",
    "sensitivity r prune=nan": "prune=nan: allowed are numbers >= 0 and < 1",
    "sensitivity r quantize=inf": "quantize=inf: allowed are whole numbers of bits from 2 to 16",
    "export r format=": "format= (allowed: onnx, torch_export, executorch)",
    "export r precision=": "precision= (allowed: fp32, fp16, int8)",
    "export r threads=": "threads=: allowed is a whole number from 1 to 512",
    "export r threads=99999999999999999999": "threads=99999999999999999999: allowed is a whole number from 1 to 512",
    "export r --nope": "export: unrecognized arguments: --nope (see `effdl export --help`)",
    "report r --format nope": "report: argument --format: invalid choice: 'nope'",
    "reproduce x --seeds a": "reproduce: argument --seeds: invalid _seeds value: 'a'",
    "export r ": "'' is not a KEY=VALUE",
    "reproduce ": "'' is not an experiment",
    "report ": "report: argument folders: '' names nothing",
    "evaluate ": "evaluate: argument folder: '' names nothing",
    "evaluate r --root=": "evaluate: argument --root: '' names nothing",
    "report r --output=": "report: argument --output: '' names nothing",
    "push -inf a/b": "-inf: -inf is not a flag (see `effdl push --help`)",
    "report r --sort -inf": "--sort -inf: 'inf' is neither a column",
    "list ": "'' is not listed",
    "evaluate": "evaluate: the following arguments are required: folder",
    "--shell-completion": "--shell-completion: allowed is install=SHELL, uninstall=SHELL or query=SHELL, with one of",
    "--shell-completion install=nope": "--shell-completion install=nope: allowed is install=SHELL",
    "-sc install=bash query=bash": "--shell-completion install=bash query=bash: allowed is install=SHELL",
}


@pytest.mark.parametrize("arguments", OTHERS)
def test_a_wrong_use_of_another_command_is_refused_by_one_line(effdl, trained, arguments):
    shutil.copytree(trained, "r")
    Path("f").write_text("")
    before = files()
    code, output, error = effdl(*arguments.split(" "))
    assert (code, output) == (2, "")
    assert error.startswith("effdl: ")
    assert error.count("\n") == 1
    assert OTHERS[arguments] in error
    assert files() == before


DAMAGES = {
    ("sensitivity r", "sensitivity.jsonl", "x\n"): "r/sensitivity.jsonl is damaged: line 1: Invalid JSON",
    ("sensitivity r", "sensitivity.jsonl", "3\n"): "r/sensitivity.jsonl is damaged: line 1: =3: must be an object",
    ("sensitivity r", "sensitivity.jsonl", "{}\n"): "r/sensitivity.jsonl is damaged: line 1: split: Field required",
    ("sensitivity r", "sensitivity.jsonl", "\xff\n"): "r/sensitivity.jsonl is damaged: line 1: ",
    ("sensitivity r", "sensitivity.jsonl", "[" * 100_000 + "\n"): "r/sensitivity.jsonl is damaged: line 1: ",
    ("export r", "export.json", "{"): "r/export.json is damaged: Invalid JSON",
    ("export r", "export.json", "[]"): "r/export.json is damaged: =[]: must be an object",
    ("export r", "export.json", '{"onnx": 3}'): "r/export.json is damaged: onnx=3: must be an object",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: f"{damage[1]}-{damage[2][:8]}")
def test_a_damaged_file_is_one_named_line(effdl, trained, damage):
    arguments, name, text = damage
    shutil.copytree(trained, "r")
    Path("r", name).write_text(text, encoding="latin-1")
    before = files()
    code, _, error = effdl(*arguments.split(" "))
    assert code == 2
    assert error.count("\n") == 1
    assert DAMAGES[damage] in error
    assert files() == before
    assert Path("r", name).read_text(encoding="latin-1") == text


REPORTED = {
    "3": "reported=3: must be a valid list",
    "[3]": "reported[0]=3: must be a valid dictionary",
    "[{source: a, values: 3}]": "reported[0].values=3: must be a valid list",
    "[{source: a, values: [], seeds: 3}]": "reported[0].seeds=3: must be a valid list",
    "[{source: a, values: [], seeds: [-1]}]": "reported[0].seeds[0]=-1: must be greater than or equal to 0",
    "[{source: a, values: [{stage: dense, metric: top1, value: .nan}]}]": "values[0].value=nan: must be a finite",
    "[{source: a, values: [{stage: dense, metric: top1, value: .inf}]}]": "values[0].value=inf: must be a finite",
    "[{source: a, values: [{stage: dense, metric: top1, value: 1, tolerance: -1}]}]": "tolerance=-1: must be greater",
    "[{source: a, values: [{stage: dense, metric: top1, value: 1, tolerance: .nan}]}]": "tolerance=nan: ",
    "[{source: a, values: [{stage: dense, metric: top1, value: 1, with: x}]}]": "with='x': must be a valid list",
    "[{source: a, values: [{stage: dense, metric: top1, value: 1, witt: 1}]}]": "witt is not a key; did you mean",
    "[{source: a, values: [{stage: prun, metric: top1, value: 1}]}]": "reported: stage=prun is no stage of the run",
    "[{source: a, values: [{stage: dense, metric: topp, value: 1}]}]": "reported: metric=topp is not a metric of dense",
    "[{source: a, values: [{stage: total, metric: top1, value: 1}]}]": "reported: metric=top1 is not a metric of total",
}


@pytest.mark.parametrize("reported", REPORTED)
def test_what_an_experiment_reports_is_checked_before_anything_runs(effdl, reported):
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/x.yaml").write_text(f"# @package _global_\nepochs: 1\nreported: {reported}\n")
    before = files()
    code, output, error = effdl("reproduce", "x", "--config-dir", "mine")
    assert (code, output) == (2, "")
    assert error.startswith("effdl: ")
    assert error.count("\n") == 1
    assert REPORTED[reported] in error
    assert files() == before


# --- errors of one's own code, of the program, of the system


def own(body: str, name: str = "crash") -> tuple[str, ...]:
    """A model of one's own in ``mine``, and the arguments that train it."""
    Path("mine/model").mkdir(parents=True)
    Path(f"mine/model/{name}.yaml").write_text(f"# A model\n_target_: {name}.Net\n")
    Path(f"mine/{name}.py").write_text(f"from torch import nn\n{body}")
    return ("train", "--config-dir", "mine", f"model={name}", "epochs=1", "dataset.subset=200", "energy.enabled=false")


def test_an_error_while_own_code_is_imported_shows_its_own_lines(effdl):
    code, _, error = effdl(*own("raise KeyError('no such thing')\n", "imported"))
    assert code == 2
    assert "mine/imported.py, line 2, in <module>: KeyError: 'no such thing'" in error.splitlines()[-1]
    assert error.count("Traceback (most recent call last)") == 1
    assert error.count("raise KeyError") == 1
    assert "effdl/" not in error
    assert not Path("outputs").exists()


def test_own_code_that_does_not_parse_is_one_line(effdl):
    code, _, error = effdl(*own("def\n", "unparsed"))
    assert code == 2
    assert error.count("\n") == 1
    assert "mine/unparsed.py, line 2: invalid syntax" in error


def test_an_error_of_own_code_in_a_run_is_shown_once_and_recorded(effdl):
    body = """
class Net(nn.Module):
    def __init__(self, channels, image_size, classes):
        super().__init__()
        self.layer = nn.Linear(image_size**2, classes)

    def forward(self, images):
        if self.training:
            raise ZeroDivisionError("a mistake")
        return self.layer(images.flatten(1))
"""
    code, _, error = effdl(*own(body, "running"), "hydra.run.dir=r")
    assert code == 1
    assert error.count("Traceback (most recent call last)") == error.count('raise ZeroDivisionError("a mistake")') == 1
    assert "mine/running.py, line 10, in forward: ZeroDivisionError: a mistake" in error.splitlines()[-1]
    assert "effdl/training" not in error
    run = json.loads(Path("r/run.json").read_text())
    assert (run["status"], "a mistake" in run["reason"]) == ("failed", True)


def test_a_bug_is_shown_whole_and_called_one(effdl, monkeypatch):
    from effdl.cli import list as listing

    monkeypatch.setattr(listing, "option_files", lambda *folders: {}["x"])
    monkeypatch.setattr("effdl.cli.failures._is_own", lambda file: False)  # this file is no user's
    code, _, error = effdl("list")
    assert code == 1
    assert error.startswith("Traceback (most recent call last)")
    assert "effdl/cli/list.py" in error
    assert "effdl: KeyError: 'x' (this is a bug of effdl: please report it, with the lines above)" in error


def test_a_bug_in_a_run_is_shown_whole_too(effdl, monkeypatch):
    from effdl.training import loop

    monkeypatch.setattr(loop, "share", lambda images: 1 + "x")
    monkeypatch.setattr("effdl.cli.failures._is_own", lambda file: False)
    code, _, error = effdl("train", *BASE, "hydra.run.dir=r")
    assert code == 1
    assert "effdl/training/loop.py" in error
    assert error.count("Traceback (most recent call last)") == 1
    assert "this is a bug of effdl" in error
    assert "HYDRA_FULL_ERROR" not in error
    assert json.loads(Path("r/run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "some/file"), "some/file: No space left on device"),
        (OSError(24, "Too many open files"), "): Too many open files"),
        (MemoryError("Unable to allocate 7 TiB"), "there is not enough memory: Unable to allocate 7 TiB"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "there is not enough memory: "),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "a text in another encoding: 'utf-8' codec"),
    ],
)
def test_errors_of_the_system_are_one_line(effdl, monkeypatch, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr("effdl.cli.failures._is_own", lambda file: False)
    monkeypatch.setattr("effdl.cli.list.option_files", fail)
    code, _, text = effdl("list")
    assert code == 2
    assert text.count("\n") == 1
    assert said in text


# --- what used to be found out after a training

QUICK = ("epochs=1", "dataset.subset=100", "energy.enabled=false")
MLP, CONVNET, RESNET = "model=mlp model.hidden=[8]", "model=lenet5", "model=resnet model.depth=8 model.width=0.25"
EARLY = {
    f"{MLP} prune=0.5 compression=[slimming]": "slimming needs a model with batch norm",
    f"{MLP} factorize=0.5 compression=[spatial]": "factorize=0.5: the model has no layer that this method factorizes",
    f"{CONVNET} factorize=0.5 compression.lowrank.exclude=['*']": "the model has no layer that this method factorizes",
    f"{CONVNET} factorize=0.999": "factorize=0.999 by macs: with the smallest factors",
    f"{CONVNET} factorize=0.999 compression=[spatial]": "factorize=0.999 by macs: with the smallest factors",
    f"{MLP} prune=0.5 compression.magnitude.exclude=['*']": "exclude=['*'], amounts=None: no layer is left to prune",
    f"{MLP} prune=0.9 compression.magnitude.exclude=['1']": "prune=0.9: the layers to prune hold",
    f"{MLP} prune=2:4 compression.nm.exclude=['*']": "exclude=['*'], skip_first=true: no layer is left to prune",
    f"{RESNET} prune=0.5 compression=[filters] compression.filters.exclude=['*']": "no layer is left whose filters can",
    f"{RESNET} prune=1e9 compression=[filters]": "prune=1000000000.0: macs: 1e-09 of what there is cannot be reached",
    f"{RESNET} prune=1e9 compression=[slimming]": "prune=1000000000.0: macs: 1e-09 of what there is cannot be reached",
    f"{CONVNET} prune=0.5 compression=[filters] compression.filters.criterion=bn": "criterion=bn: no removable filter",
    "model=vit prune=0.5 compression=[synflow]": "synflow: ",
    f"{MLP} prune=0.5 compression.magnitude.retrain=rewind_lr compression.magnitude.rewind_epoch=2": (
        "compression.magnitude.rewind_epoch=2: allowed is a whole number <= 1 (epochs)"
    ),
    f"{MLP} prune=0.5 compression.magnitude.retrain=rewind_weights compression.magnitude.rewind_epoch=2 "
    "compression.magnitude.epochs=5": "compression.magnitude.rewind_epoch=2: allowed is a whole number <= 1 (epochs)",
    f"{MLP} prune=0.5 compression.magnitude.retrain=rewind_lr compression.magnitude.rewind_epoch=4 "
    "compression.magnitude.epochs=3": "compression.magnitude.rewind_epoch=4: allowed is a whole number <= 3 (epochs)",
    f"{CONVNET} prune=0.5 factorize=0.2 compression.magnitude.retrain=rewind_weights": (
        "compression.magnitude.retrain=rewind_weights: lowrank comes before and changes the layers"
    ),
    f"{MLP} epochs=0 prune=0.5 compression.magnitude.retrain=rewind_weights compression.magnitude.rewind_epoch=0": (
        "compression.magnitude.retrain=rewind_weights: with epochs=0 there is nothing to go back to"
    ),
    f"{MLP} distill=self prune=0.5 compression=[attention,magnitude]": "attention needs maps of more than one pixel",
    f"{MLP} distill=teacher +model@teacher=lenet5 compression=[attention]": "attention needs maps of more than one",
    "model=mlp model.hidden=[] distill=self prune=0.5 compression=[hints,magnitude]": (
        "compression.hints: the student has no layer before its last one"
    ),
    f"{CONVNET} distill=teacher +model@teacher=lenet5 compression=[hints] compression.hints.student_layers=[x]": (
        "compression.hints.student_layers: no layer of the student matches 'x'"
    ),
    f"{CONVNET} distill=teacher +model@teacher=lenet5 compression=[hints] compression.hints.student_layers=[]": (
        "compression.hints.student_layers=[]: allowed is at least one layer, or null"
    ),
    f"{MLP} quantize=int8 compression.int8.first_last=false": "quantize=int8: nothing to quantize among 2 ",
}


@pytest.mark.parametrize("arguments", EARLY, ids=lambda text: text[:90])
def test_what_the_shapes_say_is_refused_before_any_training(effdl, monkeypatch, arguments):
    monkeypatch.setattr("effdl.runs.runner.fit", lambda *_, **__: pytest.fail("it trained"))
    code, output, error = effdl("train", *QUICK, *arguments.split(" "))
    assert (code, output) == (2, "")
    assert error.count("\n") == 1
    assert EARLY[arguments] in error
    assert not files()


def test_a_first_training_that_was_stopped_before_the_epoch_to_go_back_to(effdl):
    prune = ("prune=0.5", "compression.magnitude.retrain=rewind_weights", "compression.magnitude.rewind_epoch=5")
    stop = ("epochs=6", "early_stop=1", "optimizer.lr=1e-30", "optimizer.weight_decay=0")
    code, output, error = effdl("train", *BASE, *stop, *prune, "hydra.run.dir=r")
    assert (code, error) == (1, "")
    assert "effdl: rewind_epoch=5: the first training ended before it (early_stop=1)" in output
    assert json.loads(Path("r/run.json").read_text())["status"] == "failed"
