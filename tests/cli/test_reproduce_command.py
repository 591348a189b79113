"""The command on small experiments of one's own, the shipped ones' files, and the script that states results."""

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from statistics import fmean

import pytest
import yaml

from effdl.config.experiments import config_of, experiments, results_file, stated
from effdl.measure.student_t import mean_interval
from effdl.report.reproduction import match
from effdl.report.reproduction.claims import points, stated_claims
from effdl.utils.errors import UserError

SCRIPT = Path(__file__).parents[2] / "scripts" / "state_results.py"
HEAD = "# @package _global_\n# Small\ndefaults:\n  - override /model: mlp\n\nepochs: 1\nprune: 0.5\n"
DENSE = {"stage": "dense", "metric": "top1", "value": 0.6, "tolerance": 0.39}


def write(name, values=None, papers=None, head=HEAD, seeds=(0,)):
    """An experiment of one's own, with what runs and papers report, if anything."""
    file = Path("mine/experiment") / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(head + (f"\nreported:\n{yaml.safe_dump(papers)}" if papers is not None else ""))
    if values is not None:
        results = {"source": "here", "seeds": [*seeds], "values": values}
        file.with_suffix(".json").write_text(json.dumps(results))
    return file


@pytest.fixture(scope="module")
def script():
    """The script that writes results into the file beside an experiment."""
    spec = importlib.util.spec_from_file_location("state_results", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_run_compare_state_and_falsify(effdl, script):
    paper = {"source": "a paper", "paper": True, "values": [{**DENSE, "value": 0.1}]}
    del paper["values"][0]["tolerance"]
    point = {"with": ["prune=0.9"], "stage": "prune", "metric": "weight_sparsity", "value": 0.9, "tolerance": 1e-3}
    file = write("tiny", [DENSE, point], [paper], seeds=(0, 1))
    code, output, _ = effdl("reproduce", "tiny", "--config-dir", "mine", "device.threads=1")
    assert code == 0
    assert "tiny holds (2 with a tolerance)" in output
    folders = sorted(path.parent for path in Path("outputs").rglob("result.json"))
    below = ["prune=0.9/seed-0", "prune=0.9/seed-1", "seed-0", "seed-1"]
    assert folders == [Path("outputs/reproduce/tiny") / name for name in below]
    stored = json.loads((folders[0] / "reproduction.json").read_text())
    assert stored["holds"] is True
    assert [row["stage"] for row in stored["rows"]] == ["prune"]
    assert stored["runs"] == [str(folder) for folder in folders[:2]]
    config = json.loads((folders[0] / "run.json").read_text())["config"]
    assert "reported" not in config

    times = {folder: (folder / "run.json").stat().st_mtime_ns for folder in folders}
    assert effdl("reproduce", "tiny", "--config-dir", "mine", "device.threads=1")[0] == 0
    assert times == {folder: (folder / "run.json").stat().st_mtime_ns for folder in folders}  # nothing ran again

    recipe = file.read_text()
    assert script.main(["--config-dir", "mine", "tiny", "outputs/reproduce/tiny"]) == 0
    assert file.read_text() == recipe
    results = file.with_suffix(".json")
    text = results.read_text()
    found = stated_claims(stated(file))
    ours = [claim for claim in found if not claim.paper]
    assert [claim.value for claim in found if claim.paper] == [0.1]
    top1 = [json.loads((folder / "result.json").read_text())["stages"][0]["top1"] for folder in folders[2:]]
    dense = next(c for c in ours if (c.overrides, c.stage, c.metric) == ((), "dense", "top1"))
    assert dense.value == round(sum(top1) / 2, 4)
    assert dense.seeds == (0, 1)
    assert dense.tolerance == pytest.approx(3 * (dense.value * (1 - dense.value) / 360) ** 0.5, abs=1e-3)
    assert {claim.tolerance for claim in ours if claim.stage == "total"} == {None}
    script.main(["--config-dir", "mine", "tiny", "outputs/reproduce/tiny"])
    assert results.read_text() == text
    assert effdl("reproduce", "tiny", "--config-dir", "mine", "--from", "outputs")[0] == 0

    written = f'"metric": "top1", "value": {dense.value}'
    assert written in text
    results.write_text(text.replace(written, '"metric": "top1", "value": 0.3'))
    code, output, _ = effdl("reproduce", "tiny", "--config-dir", "mine", "--from", "outputs")
    assert code == 1
    assert any("dense" in line and "30.00 %" in line and "FAILS" in line for line in output.splitlines())
    assert "tiny does NOT hold" in output


def test_values_of_runs_do_not_stay_in_the_recipe(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write("tiny", papers=[{"source": "here", "values": [DENSE]}])
    with pytest.raises(UserError, match="states values of runs: take them out"):
        script.main(["--config-dir", "mine", "tiny", "outputs"])
    assert not file.with_suffix(".json").exists()


def test_a_recipe_may_state_them_for_itself(effdl):
    write("tiny", papers=[{"source": "here", "values": [DENSE]}])
    code, output, _ = effdl("reproduce", "tiny", "--config-dir", "mine")
    assert code == 0
    assert "tiny holds (1 with a tolerance)" in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "tiny.json: Expecting property name"),
        ("[]", "tiny.json: reported[0]=[]: must be a valid dictionary"),
        ('{"source": "here"}', "tiny.json: reported[0].values: Field required"),
    ],
)
def test_a_file_of_results_that_is_none_is_named(effdl, text, message):
    write("tiny").with_suffix(".json").write_text(text)
    code, _, error = effdl("reproduce", "tiny", "--config-dir", "mine")
    assert code == 2
    assert message in error


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("top1", 0.984999999, "0.985"),
        ("top1", -0.0024999999999999467, "-0.0025"),
        ("params_nonzero", 266610.5, "266610"),
        ("size_bytes", 1443673.0, "1443673"),
        ("duration_s", 52.47428932200273, "52"),
        ("energy_kwh", 0.000251221266401811, "0.000251"),
        ("co2eq_g", 0.11933010154086024, "0.119"),
        ("compression_ratio", 96.92265745705717, "96.92"),
    ],
)
def test_numbers_are_rounded_to_what_they_mean(script, metric, value, expected):
    assert json.dumps(script.rounded(metric, value)) == expected


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [
        (58388.68, "59000"),
        (170.0, "170"),
        (1.94, "2"),
        (0.0035, "0.0035"),
        (0.010998, "0.011"),
        (0.0151, "0.016"),
        (0, "0"),
    ],
)
def test_tolerances_are_rounded_up(script, tolerance, expected):
    assert json.dumps(script.rounded_up(tolerance)) == expected


def test_tolerances(script):
    assert script.accuracy_tolerance(0.9998, 10_000) == 0.003
    assert script.accuracy_tolerance(0.84, 10_000) == 0.011  # 3 sqrt(0.84 0.16 / 10,000) = 0.010998
    assert script.difference_tolerance([-0.01], 0.84, 10_000) == 0.016  # times sqrt 2 = 0.015554


def test_the_tolerance_of_a_difference_is_that_of_the_pairs(script):
    """Seeds differ by points, the differences within a seed by tenths: s = 0.001, 3 s sqrt(2/3) = 0.00245."""
    assert script.difference_tolerance([-0.011, -0.012, -0.013], 0.84, 10_000) == 0.0025
    assert script.difference_tolerance([-0.012, -0.012], 0.84, 10_000) == 0.001


def test_a_run_of_another_experiment_is_refused(effdl, script):
    write("tiny", [DENSE])
    assert effdl("train", "model=mlp", "epochs=2", "hydra.run.dir=other")[0] == 0
    code, _, error = effdl("reproduce", "tiny", "--config-dir", "mine", "--from", "other")
    assert code == 2
    assert "other is not a run of tiny: other" in error
    assert "epochs" in error
    assert "compression.magnitude" in error
    with pytest.raises(UserError, match="other is not a run of tiny"):
        script.main(["--config-dir", "mine", "tiny", "other"])
    mine = "distill=null epochs=2 prune=null"
    assert script.main(["--config-dir", "mine", "tiny", "other", "--with", mine]) == 0
    values = json.loads(Path("mine/experiment/tiny.json").read_text())["values"]
    assert {tuple(value["with"]) for value in values} == {tuple(mine.split())}


def test_a_run_that_begins_with_another_experiments_model(effdl):
    head = HEAD.replace("prune: 0.5\n", "")
    write("base", [DENSE], head=head)
    head += "prune: 0.9\nmodel:\n  weights: outputs/reproduce/base/seed-${seed}\n"
    head = head.replace("epochs: 1", "epochs: 0\ncompression:\n  magnitude:\n    epochs: 1")
    value = {"stage": "prune", "metric": "top1", "relative_to": "dense", "value": 0.0, "tolerance": 0.9}
    write("pruned", [value], head=head)
    code, output, _ = effdl("reproduce", "pruned", "--config-dir", "mine", "--seeds", "3")
    assert (code, "pruned: 1 unclear: no larger than the tolerance" in output) == (0, True)
    base, pruned = (
        json.loads(Path(f"outputs/reproduce/{n}/seed-3/result.json").read_text()) for n in ("base", "pruned")
    )
    dense, prune = pruned["stages"]
    assert (dense["epochs"], prune["epochs"]) == (0, 1)
    for key in ("top1", "loss", "params", "size_fp32_bytes"):
        assert dense[key] == base["stages"][0][key]
    assert pruned["total"]["epochs"] == 1


def test_a_run_that_began_with_another_model_or_saw_other_images_is_no_run_of_it(effdl, script):
    head = HEAD.replace("prune: 0.5\n", "")
    write("base", [DENSE], head=head)
    fine = head.replace("epochs: 1", "epochs: 0") + "model:\n  weights: outputs/reproduce/base/seed-${seed}\n"
    file = write("fine", [DENSE], head=fine)
    reproduce, short = ("reproduce", "fine", "--config-dir", "mine"), ("model=mlp", "device.threads=1")
    assert effdl(*reproduce, "device.threads=1")[0] == 0
    own, start = Path("outputs/reproduce/fine/seed-0"), "outputs/reproduce/base/seed-0"
    origin = json.loads((own / "run.json").read_text())["models"][start]
    assert origin["config"]["epochs"] == 1
    assert origin["sha256"] == hashlib.sha256(Path(start, "model.safetensors").read_bytes()).hexdigest()
    # The same model from another place, and another model.
    shutil.copytree(start, "copied")
    assert effdl("train", *short, "epochs=1", "optimizer.lr=0.5", "hydra.run.dir=start")[0] == 0
    for name, weights in (("same", "copied"), ("other", "start")):
        assert effdl("train", *short, "epochs=0", f"model.weights={weights}", f"hydra.run.dir={name}")[0] == 0
    assert effdl(*reproduce, "--from", "same")[0] == 0
    code, _, error = effdl(*reproduce, "--from", "other")
    assert (code, "other is not a run of fine: other model.weights" in error) == (2, True)
    code, _, error = effdl(*reproduce, "model.weights=start")
    assert (code, "makes fine another experiment: it changes model.weights" in error) == (2, True)
    # A model where the recipe looks for it, but of another recipe.
    shutil.copytree("start", "outputs/reproduce/base/seed-1")
    code, _, error = effdl(*reproduce, "--seeds", "1")
    assert (code, "which is not a run of base: other optimizer.lr" in error) == (2, True)
    # Other images than those on which the values were measured.
    assert script.main(["--config-dir", "mine", "fine", "same"]) == 0
    results = file.with_suffix(".json")
    data = json.loads(results.read_text())["data"]
    assert data == json.loads((own / "run.json").read_text())["data_fingerprint"]
    results.write_text(results.read_text().replace(data, "0" * 64))
    match._data_of.cache_clear()
    code, _, error = effdl(*reproduce, "--from", "same")
    assert (code, "same is not a run of fine: other images" in error) == (2, True)
    code, output, _ = effdl(*reproduce, "device.threads=1")
    assert (code, "its images are not those of what is reported" in output) == (1, True)


def test_a_failing_experiment_does_not_stop_the_others(effdl):
    write("good", [DENSE])
    write("bad", [DENSE], head=HEAD + "optimizer:\n  lr: 1.0e+20\n")
    code, output, _ = effdl("reproduce", "bad", "good", "--config-dir", "mine")
    assert code == 1
    assert "effdl: bad: bad: the run in outputs/reproduce/bad/seed-0 failed" in output
    assert "good holds" in output


def test_mistakes_are_named_before_anything_runs(effdl):
    write("tiny", [DENSE])
    write("silent")
    for arguments, message in {
        (): "name experiments",
        ("tiny", "--all"): "one of the two",
        ("tinny",): "'tinny' is not an experiment; did you mean 'tiny'?",
        ("silent",): "silent reports nothing that could be checked",
        ("tiny", "epochs=3"): "epochs=3 makes tiny another experiment: it changes epochs",
        ("tiny", "seed=1"): "reproduce sets seed itself",
        ("tiny", "epoch=1"): "epoch is not a key",
        ("tiny", "--from", "nothing"): "no run there",
        ("tiny", "--from", "nothing", "--seeds", "1"): "--from trains nothing",
    }.items():
        code, _, error = effdl("reproduce", *arguments, "--config-dir", "mine")
        assert code == 2, arguments
        assert message in error, error
    assert not Path("outputs").exists()


FOLDS = HEAD.replace("prune: 0.5\n", "dataset:\n  subset: 300\n  folds: 3\n  fold: all\n")
HELD_OUT = {"stage": "dense", "metric": "val_top1", "value": 0.5, "tolerance": 0.45}


def test_a_cross_validation_is_run_stated_and_checked(effdl, script):
    file = write("cv", [HELD_OUT], head=FOLDS)
    reproduce = ("reproduce", "cv", "--config-dir", "mine")
    done = "outputs/reproduce/cv/fold-1/seed-0"  # a command that was cut off left it
    train = ("train", "experiment=cv", "--config-dir", "mine", "device.threads=1")
    assert effdl(*train, "dataset.fold=1", f"hydra.run.dir={done}")[0] == 0
    stamp = Path(done, "run.json").read_bytes()
    code, output, _ = effdl(*reproduce, "device.threads=1")
    assert (code, "cv holds (1 with a tolerance)" in output) == (0, True)
    assert Path(done, "run.json").read_bytes() == stamp
    folders = [Path(f"outputs/reproduce/cv/fold-{fold}/seed-0") for fold in range(3)]
    assert sorted(path.parent for path in Path("outputs").rglob("result.json")) == folders
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    top1 = [result["stages"][0]["val_top1"] for result in results]
    low, high = mean_interval(top1)
    assert "Cross-validation: validation top-1 over the folds" in output
    assert f"{100 * low:.2f} % to {100 * high:.2f} %" in output

    assert script.main(["--config-dir", "mine", "cv", "outputs"]) == 0
    text = json.loads(file.with_suffix(".json").read_text())
    assert len(set(text["data"])) == 3
    value = text["values"][0]
    assert (value["stage"], value["metric"], value["value"]) == ("dense", "val_top1", round(fmean(top1), 4))
    assert value["interval"] == [round(low, 4), round(high, 4)]
    assert value["tolerance"] == script.accuracy_tolerance(fmean(top1), 300)  # every image is held out once
    assert [row["metric"] for row in text["values"]].count("val_top1") == 1
    assert "top1" not in [row["metric"] for row in text["values"]]
    match._data_of.cache_clear()
    code, output, _ = effdl(*reproduce, "--from", "outputs")
    assert (code, "cv holds (3 with a tolerance)" in output) == (0, True)


def test_folds_that_are_missing_are_not_made_up(effdl, script):
    write("cv", [HELD_OUT], head=FOLDS)
    sweep = ("train", "-m", "experiment=cv", "--config-dir", "mine", "energy.enabled=false", "hydra.sweep.dir=sweep")
    assert effdl(*sweep)[0] == 0
    code, output, _ = effdl("reproduce", "cv", "--config-dir", "mine", "--from", "sweep")
    assert (code, "cv holds" in output) == (0, True)
    folds = {
        json.loads(f.read_bytes())["config"]["dataset"]["fold"]: f.parent for f in Path("sweep").glob("*/run.json")
    }
    shutil.rmtree(folds[1])
    code, _, error = effdl("reproduce", "cv", "--config-dir", "mine", "--from", "sweep")
    assert (code, "cv seed=0: there is no run of fold 1; the others do not count" in error) == (2, True)
    with pytest.raises(UserError, match="allowed are runs of all folds"):
        script.main(["--config-dir", "mine", "cv", "sweep"])
    code, _, error = effdl("reproduce", "cv", "--config-dir", "mine", "dataset.fold=1")
    assert (code, "reproduce sets dataset.fold itself" in error) == (2, True)
    write("cv", [HELD_OUT], head=FOLDS.replace("  folds: 3\n", ""))
    code, _, error = effdl("reproduce", "cv", "--config-dir", "mine")
    assert (code, "dataset.fold=all needs the number of folds: dataset.folds=null" in error) == (2, True)


def test_two_arms_of_an_experiment_are_compared(effdl, script):
    papers = [{**DENSE, "value": 0.9}, {**DENSE, "value": 0.2, "compared_with": ["optimizer.lr=1e-6"]}]
    for paper in papers:
        del paper["tolerance"]
    file = write(
        "arms", papers=[{"source": "a paper", "paper": True, "values": papers}], head=HEAD.replace("prune: 0.5", "")
    )
    reproduce = ("reproduce", "arms", "--config-dir", "mine")
    assert effdl(*reproduce, "--seeds", "0,1", "energy.enabled=false")[0] == 0
    arms = ["", "optimizer.lr=1e-6/"]
    top1 = [
        [json.loads(Path(f"outputs/reproduce/arms/{arm}seed-{seed}/result.json").read_text())["stages"][0]["top1"]
         for seed in range(2)]
        for arm in arms
    ]  # fmt: skip
    assert script.main(["--config-dir", "mine", "arms", "outputs"]) == 0
    rows = json.loads(file.with_suffix(".json").read_text())["values"]
    (difference,) = [row for row in rows if "compared_with" in row]
    differences = [mine - its for mine, its in zip(*top1, strict=True)]
    assert difference["value"] == round(fmean(differences), 4)
    assert difference["interval"] == [round(end, 4) for end in mean_interval(differences)]
    code, output, _ = effdl(*reproduce, "--from", "outputs")
    assert (code, "top1 - (optimizer.lr=1e-6)" in " ".join(output.split())) == (0, True)
    shutil.rmtree("outputs/reproduce/arms/optimizer.lr=1e-6")
    with pytest.raises(UserError, match=r"compares with optimizer\.lr=1e-6, of which there is no run"):
        script.main(["--config-dir", "mine", "arms", "outputs"])
    assert effdl(*reproduce, "--from", "outputs")[0] == 1  # NO RUN


def test_points_of_other_labels_are_each_compared_with_their_own_arm(effdl, script):
    file = write("few", head=HEAD.replace("prune: 0.5", ""))
    arm = "optimizer.lr=1e-6"
    for number, point in enumerate(([], [arm], ["dataset.labelled=100"], [arm, "dataset.labelled=100"])):
        train = ("train", "experiment=few", "--config-dir", "mine", "energy.enabled=false", "device.threads=1")
        assert effdl(*train, *point, f"hydra.run.dir=outputs/{number}")[0] == 0
    assert script.main(["--config-dir", "mine", "few", "outputs", "--less", arm]) == 0
    stored = json.loads(file.with_suffix(".json").read_text())
    top1 = [json.loads(Path(f"outputs/{number}/result.json").read_text())["stages"][0]["top1"] for number in range(4)]
    differences = [row for row in stored["values"] if "compared_with" in row]
    assert [row["value"] for row in differences] == [round(top1[0] - top1[1], 4), round(top1[2] - top1[3], 4)]
    assert [row.get("with") for row in differences] == [None, ["dataset.labelled=100"]]
    assert [sorted(row["compared_with"]) for row in differences] == [[arm], ["dataset.labelled=100", arm]]
    assert len(stored["data"]) == 2  # other labels are other data
    assert effdl("reproduce", "few", "--config-dir", "mine", "--from", "outputs")[0] == 0
    written = file.with_suffix(".json").read_text()
    assert (
        script.main(["--config-dir", "mine", "few", "outputs", "--less", "optimizer.lr=0.000001"]) == 0
    )  # as a number
    assert file.with_suffix(".json").read_text() == written
    with pytest.raises(UserError, match="--less 'epochs=7' makes none of these points another one"):
        script.main(["--config-dir", "mine", "few", "outputs", "--less", "epochs=7"])


@pytest.mark.parametrize("name", list(experiments(None)))
def test_what_the_shipped_experiments_report_is_well_formed(name):
    file = experiments(None)[name]
    papers, ours = stated(file).get(file, []), stated(file)[results_file(file)]
    assert all(source["paper"] for source in papers)
    assert not any(source.get("paper") for source in ours)
    found = stated_claims(stated(file))
    stages = {"dense", "total"}
    for point in points(found):
        config = config_of(name, list(point), None)
        stages |= {node["stage"] for node in config["compression"].values()}
        assert {claim.stage for claim in found if claim.overrides == point} <= stages
    assert all(0 < c.value < 1 for c in found if c.metric in ("top1", "val_top1") and not c.is_difference)


@pytest.mark.parametrize("name", list(experiments(None)))
def test_the_values_of_the_shipped_runs_are_rounded(script, name):
    for claim in stated_claims(stated(experiments(None)[name])):
        if not claim.paper:
            for value in (claim.value, *(claim.interval or ())):
                assert value == script.rounded(claim.metric, float(value))
            assert claim.tolerance is None or claim.tolerance == script.rounded_up(claim.tolerance)


@pytest.mark.parametrize("name", list(experiments(None)))
def test_a_shipped_experiment_says_how_it_is_run(name):
    comments = [line for line in experiments(None)[name].read_text().splitlines() if line.startswith("# ")]
    assert comments[2].startswith((f"# effdl train experiment={name} ", f"# effdl reproduce {name} "))
    assert comments[3].startswith("# https://")
