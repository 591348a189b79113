"""What goes over the network, received by a stand-in for the Hub that answers its few routes."""

import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from effdl.runs.folder import RunFolder
from effdl.runs.verify import verify

pytest.importorskip("huggingface_hub")


class Hub(BaseHTTPRequestHandler):
    """The Hub's routes for creating a repository and committing files to it; one token may write."""

    def do_GET(self):
        self.answer({"id": "ada/net", "sha": "0" * 40, "siblings": [], "private": True})

    def do_POST(self):
        body = self.body()
        self.server.asked.append((self.path, body))
        if self.headers.get("authorization") != "Bearer hf_good":
            return self.answer({"error": "Invalid username or password."}, 401)
        if self.server.broken:
            return self.answer({"error": "sorry"}, 400)
        if self.path == "/api/repos/create":
            return self.answer({"url": f"{self.server.address}/ada/net", "name": "ada/net", "id": "1"})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self.answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        if "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            for file in (line["value"] for line in lines if line["key"] == "file"):
                self.server.files[file["path"]] = base64.b64decode(file["content"])
            return self.answer({"commitUrl": f"{self.server.address}/ada/net/commit/1", "commitOid": "1" * 40})
        return self.answer({"errors": [], "warnings": []})  # validate-yaml

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.files, server.broken = [], {}, False
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)  # read when it was imported
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(effdl):
    assert effdl("train", "model=mlp", "epochs=1", "hydra.run.dir=run")[0] == 0
    folder = RunFolder("run")
    stored = folder.run
    stored["config"]["dataset"]["root"] = str(Path.cwd() / "data")  # as that of every data set but digits
    folder.write_run(stored)
    return folder.path


def test_four_files_are_uploaded_and_nothing_says_where_they_were_made(effdl, hub, run):
    code, output, error = effdl("push", "run", "ada/net", "--private")
    assert code == 0, error
    assert f"pushed: {hub.address}/ada/net" in output
    assert sorted(hub.files) == ["README.md", "model.safetensors", "result.json", "run.json"]
    created = json.loads(next(body for path, body in hub.asked if path == "/api/repos/create"))
    assert created.get("private") is True or created.get("visibility") == "private"  # by the library's version
    assert hub.files["model.safetensors"] == (run / "model.safetensors").read_bytes()
    for name, content in hub.files.items():
        assert str(Path.cwd()).encode() not in content, name
        assert socket.gethostname().encode() not in content.split(b'"'), name
    sent, own = json.loads(hub.files["run.json"]), json.loads((run / "run.json").read_text())
    assert sent["config"]["dataset"]["root"] == "PATH"
    assert "host" not in sent
    assert "pid" not in sent
    assert (sent["seed"], sent["versions"]) == (own["seed"], own["versions"])
    sent, own = json.loads(hub.files["result.json"]), json.loads((run / "result.json").read_text())
    assert (sent["stages"], sent["total"]) == (own["stages"], own["total"])
    assert sent["files"] == {"model.safetensors": own["files"]["model.safetensors"]}
    for name, content in hub.files.items():
        Path("fetched").mkdir(exist_ok=True)
        Path("fetched", name).write_bytes(content)
    verify(RunFolder("fetched"))
    assert b"co2_eq_emissions" in hub.files["README.md"]
    assert not (run / "README.md").exists()

    (run / "README.md").write_text("---\nlicense: mit\n---\nmy own words\n")
    assert effdl("push", "run", "ada/net")[0] == 0
    assert b"my own words" in hub.files["README.md"]


def test_what_the_hub_refuses_is_said_in_one_line(effdl, hub, run, monkeypatch):
    code, _, error = effdl("push", "run", "not a name")
    assert (code, "push not a name: allowed is USER/NAME" in error) == (2, True)
    hub.broken = True
    code, _, error = effdl("push", "run", "ada/net")
    assert (code, f"{hub.address} answered 400" in error) == (1, True)
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    code, _, error = effdl("push", "run", "ada/net")
    assert (code, "refuses this user (401): log in with `hf auth login`" in error) == (2, True)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_HOME", str(Path.cwd()))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(Path.cwd() / "token"))
    code, _, error = effdl("push", "run", "ada/net")
    assert code == 2
    assert "HF_TOKEN" in error
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    code, _, error = effdl("push", "run", "ada/net")
    assert (code, "http://127.0.0.1:9 cannot be reached" in error) == (1, True)
