"""What Hydra is given and gives back."""

from pathlib import Path

import pytest

from effdl.config.hydra_app import call_hydra, call_job, matching


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        ("int8", "int8", "int8"),
        (4, "[1-8]", 4),
        ("int8", "[1-8]", None),
        ("14", "[1-8]", None),
        (None, ".*", None),
    ],
)
def test_a_value_counts_if_all_of_it_matches(value, pattern, expected):
    assert matching(value, pattern) == expected


def test_a_job_gets_the_config_in_the_folder_that_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    call_job(["epochs=3", "model=mlp", "hydra.run.dir=here"], seen.append, None)
    assert [(config.epochs, "mlp" in config.model._target_) for config in seen] == [(3, True)]
    assert (tmp_path / "here/.hydra/overrides.yaml").read_text() == "- epochs=3\n- model=mlp\n"


def test_help_is_told(capsys):
    assert call_hydra(["--help"], []) == 0
    assert "effdl" in capsys.readouterr().out


def test_log_settings_may_refer_to_what_only_a_job_knows(effdl):
    code, _, error = effdl(
        *("train", "model=mlp", "epochs=1", "dataset.subset=200", "energy.enabled=false"),
        *("hydra/job_logging=default", "hydra.run.dir=run"),
    )
    assert (code, error) == (0, "")
    assert Path("run/train.log").exists()
