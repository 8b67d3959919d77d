"""The benchmarks' own arithmetic, turns and adapter; nothing here measures anything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

import striate
from striate import recipes

BENCH = Path(__file__).resolve().parents[1] / "bench"

PEER = """
import sys
with open(sys.argv[0]) as f:
    code = f.read()
import torch
import torchvision
import torchvision.transforms as T
from torch import nn

@torch.compile(fullgraph=True)
def doubled(x):
    return 2 * x

def print_training_details(variables, is_final_entry):
    print("| shown |")

class CifarNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.half()
    def forward(self, x):
        return self.conv(x)

def main(run, model):
    data = torch.load("cifar10/train.pt", map_location=torch.device("cuda"))
    images = (data["images"].half() / 255).permute(0, 3, 1, 2)
    images = T.Normalize(torch.full((3,), 0.5), torch.full((3,), 0.25))(images)
    room = torch.empty(len(images), dtype=torch.long, device="cuda")
    starter, ender = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    starter.record()
    scores = doubled(model(images))
    ender.record()
    torch.cuda.synchronize()
    assert scores.dtype == torch.bfloat16 and model.conv.weight.dtype == torch.float32
    time_seconds = 1e-3 * starter.elapsed_time(ender)
    tta_val_acc = len(data["labels"]) / 100 + (run == 1)
    print_training_details(locals(), is_final_entry=True)

if __name__ == "__main__":
    raise SystemExit("the adapter does this part")
"""

LOOP = """
from turns import Turns
turns = Turns(0.0)
turns.ready(settings="none")
print("noise of a framework")
while True:
    turns.step(8)
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a module of bench/ by name."""
    before = set(sys.modules)
    for folder in (BENCH, BENCH / "peers"):
        monkeypatch.syspath_prepend(str(folder))

    def imported(name: str) -> ModuleType:
        return __import__(name)

    yield imported
    for name in set(sys.modules) - before:
        if str(BENCH) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def script(folder: Path, text: str) -> Path:
    path = folder / "script.py"
    path.write_text(text)
    return path


def test_a_round_measures_each_contender_once(bench: Any) -> None:
    called: list[str] = []
    found = bench("pairs").in_turn(
        {name: lambda name=name: called.append(name) or len(called) for name in "abc"}, 4
    )
    assert [sorted(called[first : first + 3]) for first in range(0, 12, 3)] == [list("abc")] * 4
    assert sorted(found["a"] + found["b"] + found["c"]) == list(range(1, 13))


def test_ratios_are_taken_round_by_round(bench: Any) -> None:
    found = bench("pairs").ratios([1.0, 4.0, 9.0], [2.0, 4.0, 3.0])
    assert found == {"median": 1.0, "quartiles": [0.75, 2.0], "rounds": [0.5, 1.0, 3.0]}
    assert bench("pairs").spread([3.0])["quartiles"] == [3.0, 3.0]


def test_all_contenders_networks_have_the_parameters_that_the_task_says(bench: Any) -> None:
    ours, tasks = bench("ours"), bench("tasks")
    for task in tasks.TASKS.values():
        network = ours.network_of(task)
        assert network.input == (task.side, task.side, 3)
        assert network.account().totals.parameters == task.parameters


def test_a_loop_trains_in_its_turns_and_rests_between_them(bench: Any, tmp_path: Path) -> None:
    contenders = bench("contenders")
    path = script(tmp_path, LOOP)
    variables = dict(os.environ) | {"PYTHONPATH": str(BENCH / "peers")}
    loop = contenders.Contender([sys.executable, str(path)], variables)
    assert loop.about == {"settings": "none"}
    assert all(loop.turn()["images"] >= 3 * 8 for _ in range(2))
    loop.stop()


def test_a_loop_that_breaks_off_says_why(bench: Any, tmp_path: Path) -> None:
    contenders = bench("contenders")
    path = script(tmp_path, "raise SystemExit('no such network')")
    with pytest.raises(contenders.Failed, match="no such network"):
        contenders.Contender([sys.executable, str(path)], os.environ)


def test_a_missing_checkout_is_named(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environments = bench("environments")
    monkeypatch.delenv("AIRBENCH", raising=False)
    with pytest.raises(environments.Missing, match="AIRBENCH=DIR"):
        environments.checkout("AIRBENCH", "airbench94_muon.py")


def test_the_adapter_runs_a_script_made_for_a_gpu_on_the_cpu(bench: Any, tmp_path: Path) -> None:
    contenders = bench("contenders")
    (tmp_path / "cifar10").mkdir()
    images = torch.randint(0, 256, (20, 8, 8, 3), dtype=torch.uint8)
    kept = {"images": images, "labels": torch.zeros(20), "classes": ["a"]}
    torch.save(kept, tmp_path / "cifar10" / "train.pt")
    command = [sys.executable, str(BENCH / "peers" / "adapter.py"), "run"]
    path = script(tmp_path, PEER)
    peer = contenders.Contender([*command, str(path), "--images", str(tmp_path)], os.environ)
    first, second = peer.turn(), peer.turn()
    peer.stop()
    assert [first["accuracy"], second["accuracy"]] == [0.2, 1.2]
    assert first["seconds"] > 0


def test_images_for_the_scripts_keep_their_classes(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for part in ("train", "test"):
            for label, level in (("dark", 10), ("light", 240)):
                for number in range(3):
                    image = Image.new("RGB", (4, 4), (level, level, level))
                    image.save(tmp_path / "one.png")
                    name = f"set/{part}/{label}/{number}.png"
                    archive.write(tmp_path / "one.png", name)
    command = [sys.executable, str(BENCH / "peers" / "adapter.py"), "prepare"]
    given = [str(tmp_path / "images.zip"), str(tmp_path / "out"), "--limit", "4"]
    subprocess.run([*command, *given], check=True)
    found = torch.load(tmp_path / "out" / "cifar10" / "test.pt", weights_only=True)
    assert found["classes"] == ["dark", "light"]
    levels = found["images"].float().mean(dim=(1, 2, 3)).numpy()
    assert np.array_equal(levels, np.where(found["labels"].numpy() == 0, 10, 240))
    assert len(levels) == 4


def test_bars_read_the_worst_network_and_the_geometric_means(bench: Any) -> None:
    throughput = bench("throughput")
    made = [
        throughput.Measured(rates={"striate": [ours], "tutorial": [1.0], "timm": [peer]})
        for ours, peer in ((8.0, 4.0), (9.0, 2.0))
    ]
    found = list(throughput.judged({"a": made[0], "b": made[1]}).values())
    assert found == [2.0, 3.0, round(72**0.5, 3)]


@pytest.mark.parametrize(
    "text",
    [
        "[9x9x3] conv3-4 bn relu add(conv3-4 bn | id) relu maxpool3/2 conv3-6 relu fc-5 softmax",
        "[8x8x3] maxpool2 conv3-4(groups=1) relu avgpool fc-3",
    ],
)
def test_the_flops_of_a_step_are_those_that_torch_counts(bench: Any, text: str) -> None:
    """Forward and backward, without what an update, a pool or a norm takes."""
    network = striate.read(text)
    model, images = network.build(), torch.randn(2, *(network.input[at] for at in (2, 0, 1)))
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    assert bench("limits").flops_per_image(network) * 2 == counter.get_total_flops()


def test_a_run_on_growing_images_takes_fewer_flops(bench: Any) -> None:
    limits, network = bench("limits"), striate.read("[32x32x3] conv3-4 relu avgpool fc-10 softmax")
    whole = recipes.Recipe(epochs=2)
    full = limits.flops_of_run(network, whole, 10)
    assert full == pytest.approx(20 * limits.flops_per_image(network))
    half = limits.flops_of_run(network, whole.changed(grow_from=0.5, grow_until=1.0), 10)
    # The mean of the squares of the sides 16, 20, ..., 32, the outer two for half as long.
    expected = (16**2 / 2 + 20**2 + 24**2 + 28**2 + 32**2 / 2) / 4 / 32**2
    assert half / full == pytest.approx(expected, rel=0.02)
