"""Which models a run used, as it records them."""

import hashlib
import json

from effdl.config.compose import composed, settings
from effdl.runs.origins import origins


def config(*overrides):
    return settings(composed(["model=mlp", *overrides], None))


def test_models_are_known_by_their_digest_and_by_the_run_that_made_them(tmp_path):
    run, plain = tmp_path / "run", tmp_path / "plain.safetensors"
    run.mkdir()
    plain.write_bytes(b"plain")
    (run / "model.safetensors").write_bytes(b"stored")
    made = {"status": "done", "layout": 2, "config": {"epochs": 3}, "data_fingerprint": "abc"}
    (run / "run.json").write_text(json.dumps(made))
    found = origins(config(f"distill={run}", f"model.weights={plain}"), tmp_path)
    assert found == {
        str(plain): {
            "sha256": hashlib.sha256(b"plain").hexdigest(),
            "config": None,
            "data_fingerprint": None,
            "models": None,
            "total": None,
        },
        str(run): {
            "sha256": hashlib.sha256(b"stored").hexdigest(),
            "config": {"epochs": 3},
            "data_fingerprint": "abc",
            "models": None,
            "total": None,
        },
    }


def test_the_cost_of_the_run_that_made_a_model_is_kept(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(b"stored")
    made = {"status": "done", "layout": 2, "config": {"epochs": 3}, "data_fingerprint": "abc"}
    (run / "run.json").write_text(json.dumps(made))
    (run / "result.json").write_text(
        json.dumps(
            {"stages": [{"stage": "dense", "method": "train"}], "total": {"duration_s": 5, "energy_kwh": 0.1, "n": 1}}
        )
    )
    [found] = origins(config(f"model.weights={run}"), tmp_path).values()
    assert found["total"] == {"duration_s": 5, "energy_kwh": 0.1, "co2eq_g": None}


def test_relative_paths_mean_the_folder_where_they_were_typed(tmp_path):
    (tmp_path / "plain.safetensors").write_bytes(b"plain")
    found = origins(config("model.weights=plain.safetensors"), tmp_path)
    assert found["plain.safetensors"]["sha256"] == hashlib.sha256(b"plain").hexdigest()


def test_a_run_that_begins_anew_has_none(tmp_path):
    assert origins(config("prune=0.5", "quantize=int8"), tmp_path) == {}
