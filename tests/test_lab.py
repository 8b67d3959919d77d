"""The lab's bench: what can be done with branches, runs and units, and what comes of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from multiprocessing import Pipe, get_context
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import striate
from striate import recipes, see
from striate.data import Splits, load
from striate.draw.history import read_history
from striate.errors import NotationError, RunError
from striate.lab.branch import begun
from striate.lab.differences import check_gradients
from striate.lab.examiner import examine
from striate.lab.following import Following
from striate.lab.frames import frame, unframed
from striate.lab.knobs import knobs
from striate.lab.shelf import shelf
from striate.lab.telling import Telling
from striate.lab.trainer import Wanted, opened
from striate.lab.unit import answer, question
from striate.lab.workbench import MOST_BRANCHES, Workbench
from striate.runs import open_run

NET = "[8x8x1] conv3-8 relu maxpool2 fc-10 softmax"


# -- the bench


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load("digits", input=striate.read(NET).input)


def made(splits: Splits, **settings: object) -> Workbench:
    recipe = recipes.read("lab").changed(**settings)
    return Workbench(begun("main", striate.read(NET), recipe, splits))


@pytest.fixture
def bench(digits: Splits) -> Workbench:
    return made(digits)


def weights(bench: Workbench) -> dict[str, torch.Tensor]:
    return {name: each.clone() for name, each in bench.model.state_dict().items()}


def test_it_trains_and_rests(bench: Workbench) -> None:
    before = weights(bench)
    bench.train()
    assert not torch.equal(before["conv1.weight"], weights(bench)["conv1.weight"])
    bench.pause()
    assert not bench.at_work
    bench.step()
    assert bench.branch.state.progress.step == 2 and bench.branch.seen == 64


def test_a_knob_that_the_rule_does_not_read_says_so_and_is_refused(bench: Workbench) -> None:
    """ConvNetJS showed the rate and the momentum of Adadelta, which ignored both."""
    assert all(not each.why for each in knobs(bench.branch.recipe))
    recipe = bench.branch.recipe.changed(rule="sgd")
    (momentum,) = (each for each in knobs(recipe) if each.name == "momentum")
    assert momentum.value is None and momentum.why == "the rule sgd does not read it"
    bench.branch.state.recipe = recipe
    with pytest.raises(RunError, match="momentum"):
        bench.knob("momentum", 0.5)


def test_a_knob_that_is_turned_leaves_a_mark_and_the_rule_as_it_was(bench: Workbench) -> None:
    """ConvNetJS rebuilt the trainer as plain SGD whatever it had been."""
    for _ in range(3):
        bench.train()
    memory = {k: v.clone() for k, v in bench.branch.state.optimiser.tensors().items()}
    assert "from 0.02 to 0.01" in bench.knob("learning_rate", "0.01")
    assert bench.branch.recipe.rule == "momentum" and bench.branch.recipe.learning_rate == 0.01
    kept = bench.branch.state.optimiser.tensors()
    assert memory and all(torch.equal(memory[name], kept[name]) for name in memory)
    (mark,) = bench.branch.marks
    assert (mark.seen, mark.name, mark.before, mark.after) == (96, "learning_rate", 0.02, 0.01)
    assert "already" in bench.knob("learning_rate", "0.01")
    bench.train()
    assert bench.branch.last is not None and bench.branch.last.rate == pytest.approx(0.01)


def test_turning_a_knob_there_and_back_changes_nothing(digits: Splits) -> None:
    """The rule's memory, the order of images and chance go on as if nobody had touched it."""
    benches = [made(digits) for _ in range(2)]
    for bench in benches:
        for _ in range(4):
            bench.train()
    benches[0].knob("weight_decay", 0.1)
    benches[0].knob("weight_decay", 0.0005)
    for bench in benches:
        for _ in range(4):
            bench.train()
    first, second = map(weights, benches)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weight_decay_does_not_change_with_the_batch(digits: Splits) -> None:
    """ConvNetJS divided it by the batch size: of weights without a gradient it takes the same."""
    shrunk = []
    for batch in (8, 64):
        bench = made(digits, weight_decay=0.1)
        bench.knob("batch", batch)
        with torch.no_grad():
            bench.model.conv1.weight[0].zero_()  # a filter that never fires has no gradient
            bench.model.conv1.bias[0] = -100.0
            bench.model.fc1.weight.view(10, 8, 16)[:, 0] = 1.0
        bench.train()
        shrunk.append(float(bench.model.fc1.weight.detach().view(10, 8, 16)[:, 0].mean()))
    assert shrunk[0] == pytest.approx(shrunk[1]) and shrunk[0] < 1


def test_a_fork_is_the_same_but_for_its_knob(bench: Workbench) -> None:
    for _ in range(5):
        bench.train()
    bench.fork()
    bench.fork("learning_rate", 0.5)
    for _ in range(5):
        bench.train()
    plain, same, other = bench.branches.values()
    assert same.parent == ("main", 160)
    pairs = zip(plain.state.model.parameters(), same.state.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    pairs = zip(plain.state.model.parameters(), other.state.model.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs)
    assert plain.seen == same.seen == other.seen == 320
    while len(bench.branches) < MOST_BRANCHES:
        bench.fork()
    with pytest.raises(RunError, match=f"there are {MOST_BRANCHES} branches: drop one first"):
        bench.fork()
    for name in [*bench.branches][3:]:
        bench.drop(name)
    bench.drop("fork 1")
    assert list(bench.branches) == ["main", "fork 2"]


def test_rules_are_compared_from_the_same_weights_and_images(bench: Workbench) -> None:
    """The demo of trainers in ConvNetJS began each from weights of its own."""
    bench.train()
    bench.compare(["sgd", "adam", "momentum"])
    first = [
        torch.cat([each.flatten() for each in branch.state.model.parameters()])
        for branch in bench.branches.values()
    ]
    assert all(torch.equal(first[0], each) for each in first)
    bench.train()
    losses = {branch.last.loss for branch in bench.branches.values() if branch.last}
    assert len(losses) == 1, "the first batch is the same"
    assert [each.recipe.rule for each in bench.branches.values()] == ["sgd", "adam", "momentum"]
    assert bench.branches["adam"].recipe.learning_rate == 0.001
    with pytest.raises(RunError, match="from 1 to"):
        bench.compare([])


def test_apply_keeps_what_it_says(bench: Workbench) -> None:
    for _ in range(3):
        bench.train()
    before = weights(bench)
    text = "[8x8x1] conv3-8 relu maxpool2 fc-16 relu fc-10 softmax"
    promised = bench.kept(text)
    assert all(torch.equal(before[name], each) for name, each in weights(bench).items())
    kept = bench.apply(text)
    assert kept == promised and set(kept["taken"]) == {"conv1.weight", "conv1.bias"}
    assert kept["anew"]["fc1.weight"] == "was 10x128, is 16x128"
    assert torch.equal(before["conv1.weight"], weights(bench)["conv1.weight"])
    assert bench.branch.seen == 96 and bench.branch.marks[-1].name == "network"
    bench.train()
    with pytest.raises(NotationError):
        bench.apply("[8x8x1] conv9-8(pad=0) softmax")
    assert bench.branch.seen == 128, "an error loses nothing"


def test_another_recipe_goes_on_with_a_mark_for_each_change(bench: Workbench) -> None:
    bench.train()
    text = recipes.to_toml(bench.branch.recipe.changed(rule="adam", shift=2))
    said = bench.rewrite(text)
    assert "rule from momentum to adam" in said and "shift from 1 to 2" in said
    assert bench.branch.recipe.rule == "adam"
    assert {each.name for each in bench.branch.marks} >= {"rule", "learning_rate", "shift"}
    assert bench.rewrite(text) == "it is the recipe that trains"
    with pytest.raises(RunError, match="seed was used in the beginning: begin anew"):
        bench.rewrite(recipes.to_toml(bench.branch.recipe.changed(seed=5)))
    with pytest.raises(RunError):
        bench.rewrite("rule = 3")
    bench.train()


@pytest.mark.parametrize("name", ["resnet-cifar-2015", "lenet-1998", "default", "airbench-94"])
def test_every_recipe_on_the_shelf_can_be_begun_with(bench: Workbench, name: str) -> None:
    bench.branch.train(2)
    bench.reset(recipes.to_toml(recipes.read(name)))
    assert bench.branch.seen == 0 and bench.branch.recipe.rule == recipes.read(name).rule
    bench.train()


def test_several_numbers_can_be_changed_as_text_and_are_repeated_by_the_script(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bench.branch.train(2)
    recipe = bench.branch.recipe.changed(schedule="step", milestones=(0.5, 0.75), factor=0.1)
    assert "milestones" in bench.rewrite(recipes.to_toml(recipe))
    bench.branch.train(4)
    session = Path(bench.save()) / "session.py"
    subprocess.run([sys.executable, session], check=True, env=os.environ)
    again = load_file("again.safetensors")
    assert all(torch.equal(each, again[name]) for name, each in weights(bench).items())


def test_a_recipe_that_has_come_to_its_end_says_so(digits: Splits) -> None:
    bench = made(digits, epochs=1, batch=1024)
    while bench.at_work:
        bench.train()
    assert not bench.running and "come to its end" in bench.failure
    with pytest.raises(RunError, match="give it more epochs as text, or begin anew"):
        bench.run()
    bench.rewrite(recipes.to_toml(bench.branch.recipe.changed(epochs=2)))
    bench.run()
    seen = bench.branch.seen
    bench.train()
    assert bench.branch.seen > seen


def test_a_session_is_saved_as_a_run_and_repeated_by_its_script(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bench.branch.train(3)
    bench.knob("learning_rate", "0.005")
    bench.branch.train(6)
    bench.apply("[8x8x1] conv3-8 relu maxpool2 fc-16 relu fc-10 softmax")
    bench.branch.train(8)
    bench.fork("momentum", 0.5)
    bench.choose("fork 1")
    bench.branch.train(12)
    run = open_run(bench.save())
    kept = run.model().state_dict()
    assert all(torch.equal(each, kept[name]) for name, each in weights(bench).items())
    assert run.network == bench.branch.network and run.recipe == bench.branch.recipe
    assert len(read_history(run.path).losses) == 12
    command = [sys.executable, str(run.path / "session.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    again = load_file(tmp_path / "again.safetensors")
    assert all(torch.equal(each, again[name]) for name, each in kept.items())


def test_numbers_that_are_not_finite_stop_with_the_reason(bench: Workbench) -> None:
    bench.knob("learning_rate", 1e6)
    for _ in range(20):
        bench.train()
    assert not bench.running and "main: " in bench.failure


def test_twenty_images_are_learned_by_heart_and_then_all_again(bench: Workbench) -> None:
    bench.overfit(True)
    for _ in range(150):
        bench.branches["by heart"].step()
    assert bench.chosen == "by heart"
    assert bench.branch.last is not None and bench.branch.last.loss < 0.1
    bench.overfit(False)
    assert list(bench.branches) == [bench.chosen] == ["main"]


def test_gradients_are_right_and_a_wrong_one_is_seen(bench: Workbench) -> None:
    assert bench.check_gradients()["said"].startswith("right")

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, volume: torch.Tensor) -> torch.Tensor:
            return volume * 2

        @staticmethod
        def backward(context: Any, slope: torch.Tensor) -> torch.Tensor:
            return slope * 1.9

    class Twice(torch.nn.Module):
        def forward(self, volume: torch.Tensor) -> torch.Tensor:
            return Wrong.apply(volume)

    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10), Twice())
    found = check_gradients(model, torch.randn(4, 1, 8, 8), torch.arange(4))
    assert max(each.worst for each in found) == pytest.approx(0.05, rel=0.01)


# -- what is told of it


class Kept(dict[str, Any]):
    """An outlet that keeps the newest header of each topic."""

    def put(self, topic: str, about: Any, arrays: Any = None) -> None:
        self[topic] = about


def test_the_readings_are_of_real_steps_and_stay_while_it_rests(bench: Workbench) -> None:
    kept = Kept()
    telling = Telling(bench, kept, kept)
    for _ in telling.looks.ways:  # each is due once
        telling.about_to_step()
        before = weights(bench)
        bench.train()
        telling.stepped(0.01)
        if telling.next == "vitals":
            moved = weights(bench)["conv1.weight"] - before["conv1.weight"]
            ratio = float(moved.norm() / before["conv1.weight"].norm())
    telling.all()
    readings = kept["vitals"]["readings"]
    updates = {e["layer"]: e["value"] for e in readings if e["name"] == "update / weights"}
    assert set(updates) == {"conv1", "fc1"} and updates["conv1"] == pytest.approx(ratio)
    assert {each["layer"] for each in readings} <= {"", "conv1", "relu1", "maxpool1", "fc1"}


def test_a_branch_begun_anew_is_looked_at_anew(bench: Workbench) -> None:
    kept = Kept()
    telling = Telling(bench, kept, kept)
    bench.branch.train(3)
    telling.all()
    assert kept["timeline"]["moments"] == [96]
    bench.reset()
    telling.all()
    assert kept["timeline"]["moments"] == [0]
    bench.step()
    telling.all()
    assert kept["timeline"]["moments"] == [0, 32]


# -- a run that is followed


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two epochs in it, runs/one."""
    folder = tmp_path_factory.mktemp("trained")
    command = [sys.executable, "-m", "striate", "train", NET, "--data", "digits", "epochs=2"]
    command += ["--run", "runs/one"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ)
    return folder


def files(folder: Path) -> dict[Path, bytes]:
    return {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}


@pytest.mark.parametrize(("net", "ours"), [(NET, True), ("[8x8x1] fc-3", False)])
def test_the_labs_own_network_takes_as_many_classes_as_there_are(
    tmp_path: Path, net: str, ours: bool
) -> None:
    for number in range(30):
        folder = tmp_path / "photos" / f"class {number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    outbox = Kept()
    bench, _, _ = opened(Wanted(net, str(tmp_path / "photos"), "lab", ours=ours), outbox, outbox)
    assert bench.branch.network.output == (1, 1, 3)


def test_a_run_is_followed_while_it_trains_and_its_folder_is_only_read(
    trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "runs" / "one", run)
    whole = (run / "metrics.jsonl").read_bytes()
    half = whole[: len(whole) // 2]  # in the middle of a line
    (run / "metrics.jsonl").write_bytes(half)
    following = Following(open_run(run))
    steps = sum(b'"Stepped"' in line for line in half.splitlines()[:-1])
    assert following.branch.last is not None and following.branch.last.step == steps
    assert not following.news()
    (run / "metrics.jsonl").write_bytes(whole)
    assert following.news() and len(following.branch.validation.ys) == 2
    bench, kept = Workbench(following.branch), open_run(run).model("last").state_dict()
    assert all(torch.equal(each, kept[name]) for name, each in weights(bench).items())
    before, seen = files(run), bench.branch.seen
    bench.rewrite(recipes.to_toml(bench.branch.recipe.changed(epochs=3)))
    bench.train()
    assert bench.branch.seen > seen and before == files(run)


def test_a_run_lends_its_weights_and_a_script_repeats_what_came_of_it(
    digits: Splits, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    bench = made(digits)
    runs = ["runs/one", "runs/one"], ["digits, in the box", "digits"]
    assert shelf(digits)["runs"] == [*runs]
    with pytest.raises(RunError, match="there is no run"):
        bench.begin("../one")
    bench.begin("digits")
    assert bench.branch.weights == "digits"
    bench.begin("runs/one")
    kept = open_run(trained / "runs" / "one").model().state_dict()
    assert all(torch.equal(each, kept[name]) for name, each in weights(bench).items())
    following = Following(open_run("runs/one"))
    followed = Workbench(following.branch)
    followed.rewrite(recipes.to_toml(followed.branch.recipe.changed(epochs=3)))
    for each in (bench, followed):
        each.branch.train(each.branch.state.progress.step + 3)
        session = Path(each.save()) / "session.py"
        subprocess.run([sys.executable, session], check=True, env=os.environ)
        again = load_file("again.safetensors")
        assert all(torch.equal(each, again[name]) for name, each in weights(each).items())


# -- one unit


def test_a_unit_is_what_see_says_of_it(bench: Workbench) -> None:
    bench.branch.train(5)
    images = bench.splits.test
    about, arrays = unframed(frame("unit", *question(bench.branch, images, "relu1", 3)))
    found, pictures = answer(about, arrays)
    preparation, network = bench.branch.preparation, bench.branch.network
    best = see.top_patches(bench.model, network, images, preparation, "relu1")[3]
    assert [each["image"] for each in found["patches"]] == [each.image for each in best]
    values = [each["value"] for each in found["patches"]]
    assert values == pytest.approx([each.value for each in best])
    photo, box = images.pixels[best[0].image], best[0].box
    inside = photo[max(box.top, 0) : box.bottom, max(box.left, 0) : box.right]
    assert np.isin(inside, pictures["patches"][0]).all()
    assert pictures["patches"].shape == (9, 3, 3, 3) and pictures["made"].shape == (1, 3, 3, 3)
    assert found["made"] > 0
    refused, nothing = answer(about | {"unit": 8}, arrays)
    assert refused["failed"].startswith("relu1 has no unit 8") and not nothing


def test_questions_are_answered_and_of_many_only_the_newest(bench: Workbench) -> None:
    asked, questions = Pipe(duplex=False)
    found, answers = Pipe(duplex=False)
    contents = [
        frame(f"unit/conv1/{unit}", *question(bench.branch, bench.splits.test, "conv1", unit))
        for unit in range(6)
    ]
    sending = Thread(target=lambda: [questions.send_bytes(each) for each in contents])
    process = get_context("spawn").Process(target=examine, args=(asked, answers), daemon=True)
    sending.start()
    time.sleep(0.1)
    process.start()
    asked.close()
    answers.close()
    told = {}
    while len(told) < 6:
        assert found.poll(60)
        header, _ = unframed(found.recv_bytes())
        told[header["topic"]] = header.get("failed")
    sending.join()
    questions.close()
    process.join(20)
    assert process.exitcode == 0
    assert told["unit/conv1/5"] is None


# -- in a notebook


def test_a_notebook_gets_the_pages_frames_and_all_of_its_modules(trained: Path) -> None:
    watch = open_run(trained / "runs" / "one").watch()
    sent: list[bytes] = []
    watch.send = lambda content, buffers=None: sent.extend(buffers)
    watch._handle_custom_msg({"asks": "everything"}, [])
    told = {header["topic"]: header for header, _ in map(unframed, sent)}
    assert set(told) == {"state", "curves", "maps", "weights"}
    assert told["state"]["branches"][0]["name"] == "one"
    assert [each["name"] for each in told["maps"]["layers"]] == [
        "conv1",
        "relu1",
        "maxpool1",
        "fc1",
    ]
    assert "import" not in re.sub(r"//.*", "", watch._esm) and "export default" in watch._esm
