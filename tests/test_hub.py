"""Weights from a hub, by huggingface_hub itself, from a server here that plays the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from conftest import Run
from safetensors.torch import save

from striate import zoo
from striate.errors import RunError
from striate.network import read
from striate.transfer.hub import fetched

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# timm's names for VGG-11 are too many bytes for a test: a small network of striate's own names.
NETWORK = "[8x8x1] conv3-4 relu avgpool fc-10 softmax"
CONFIG = {"pretrained_cfg": {"mean": [0.25], "std": [0.5]}}


def weights() -> bytes:
    torch.manual_seed(0)
    return save(read(NETWORK).build().state_dict())


def files() -> dict[str, dict[str, bytes]]:
    """What each repository holds."""
    good = weights()
    return {
        "ours/small": {"model.safetensors": good, "config.json": json.dumps(CONFIG).encode()},
        "ours/broken": {"model.safetensors": good},
        "ours/torn": {"model.safetensors": good[:-8]},
        "ours/hostile": {"model.safetensors": (2**62).to_bytes(8, "little") + b"{}"},
        "ours/masked": {"model.safetensors": b"PK\x03\x04" + bytes(100)},
        "ours/pickled": {"pytorch_model.bin": b"\x80\x04.", "README.md": b""},
        "ours/shards": {"model-00001-of-00002.safetensors": good},
        "ours/empty": {"model.safetensors": good, "config.json": b'{"mean": [], "std": []}'},
        "ours/large": {
            "model.safetensors": good,
            "config.json": b'{"mean": [1%s], "std": [1]}' % (b"0" * 400),
        },
        "ours/strange": {
            "model.safetensors": good,
            "config.json": b'{"pretrained_cfg": {"mean": [NaN], "std": [0]}}',
        },
    }


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as a download asks for; `asked` counts what was."""

    held = files()
    asked: list[str] = []  # noqa: RUF012  # shared by all requests

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.asked.append(self.path)
        if found := re.match(r"/api/models/([^/]+/[^/]+)/(?:tree|revision)/", self.path):
            tree = [
                {"type": "file", "path": name, "size": len(each), "oid": COMMIT}
                for name, each in self.held.get(found[1], {}).items()
            ]
            return self.send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        found = re.match(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        if found and found[1] == "ours/broken" and found[3] == "config.json":
            return self.send(400, b"", {})
        if not found or found[1] not in self.held:
            return self.send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if found[2] not in ("main", COMMIT):
            return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if found[3] not in self.held[found[1]]:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content = self.held[found[1]][found[3]]
        return self.send(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{hash(content):x}"'})

    def send(self, code: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """A test prints nothing."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


# Says of each name what came of it; huggingface_hub reads its variables when it is imported.
ASK = """
import json, sys
from striate.errors import StriateError
from striate.transfer import known
for name in sys.argv[1:]:
    try:
        found = known(name)
        about = found.preparation
        said = [sorted(found.weights), found.source, about and [about.mean, about.deviation]]
    except StriateError as reason:
        said = str(reason)
    print(json.dumps(said))
"""


def test_what_a_hub_may_answer(hub: str, python: Run, tmp_path: Path) -> None:
    names = ["small", f"small@{COMMIT}", "torn", "hostile", "masked", "pickled", "shards"]
    names += ["strange", "empty", "large", "nothing", "small@other", "broken"]
    asked = [f"hub:ours/{name}" for name in names]
    done = python("-c", ASK, *asked, HF_ENDPOINT=hub, HF_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    said = dict(zip(names, map(json.loads, done.stdout.splitlines()), strict=True))
    tensors = ["conv1.bias", "conv1.weight", "fc1.bias", "fc1.weight"]
    assert said["small"] == [tensors, "hub:ours/small", [[0.25], [0.5]]]
    assert said[f"small@{COMMIT}"] == [tensors, f"hub:ours/small@{COMMIT}", [[0.25], [0.5]]]
    assert said["strange"] == [tensors, "hub:ours/strange", None], "numbers that cannot be"
    assert said["empty"] == [tensors, "hub:ours/empty", None]
    assert said["large"] == [tensors, "hub:ours/large", None]
    for name in ("torn", "hostile"):
        assert "is damaged" in said[name]
    assert "a pickle or an archive of one" in said["masked"]
    assert "has no model.safetensors, only pytorch_model.bin, which could run" in said["pickled"]
    assert "only model-00001-of-00002.safetensors: one file" in said["shards"]
    assert said["nothing"] == "there is no repository 'ours/nothing' on the hub"
    assert said["broken"].startswith("hub:ours/broken"), "how images were prepared is not guessed"
    assert said["small@other"] == "hub:ours/small@other: there is no such revision"
    fetched_files = [path for path in Hub.asked if path.endswith((".bin", ".md"))]
    assert not fetched_files, "nothing but safetensors and config.json is fetched"


def test_training_from_a_hub_and_what_was_fetched_before(
    hub: str, python: Run, tmp_path: Path
) -> None:
    """What is there needs no hub; where one cannot be reached, that is said."""
    home = str(tmp_path / "home")
    command = ["-m", "striate", "train", NETWORK, "--from", "hub:ours/small", "--data", "digits"]
    command += ["--freeze", "features", "--epochs", "1", "--run", str(tmp_path / "run")]
    done = python(*command, HF_ENDPOINT=hub, HF_HOME=home)
    assert done.returncode == 0, done.stderr
    assert "from hub:ours/small: taken: 4 of 4 tensors; images prepared as there" in done.stderr
    assert "mean 0.250, deviation 0.500" in done.stderr
    about = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert about["origin"]["source"] == "hub:ours/small"
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": home, "HF_HUB_OFFLINE": "1"}
    said = python("-c", ASK, "hub:ours/small", "hub:ours/other", **gone).stdout.splitlines()
    assert "conv1.weight" in said[0]
    assert "cannot be reached, and its model.safetensors was not fetched" in said[1]


@pytest.mark.parametrize("name", ["timm", "a/b/c", "../x/y", "a b/c", "a/b@", "", "/"])
def test_a_name_that_cannot_be(name: str) -> None:
    with pytest.raises(RunError, match="names no repository: it is written hub:OWNER/NAME"):
        fetched(name)


def test_published_networks_are_named_in_the_docs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "transfer.md").read_text("utf-8")
    for name in ("alexnet-one-weird-trick", "vgg16-bn", "googlenet-torchvision", "resnet152"):
        assert name in zoo.names() and name in page
