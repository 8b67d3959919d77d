"""What is foretold: the sum of its parts, memory as counted, refusals, and images by number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run

import striate
from striate.compute import Compute
from striate.data import load
from striate.draw.plain import plain
from striate.draw.speed import estimate_to_json, foretold
from striate.errors import DataError, RunError
from striate.network import Network
from striate.recipes import Recipe
from striate.timing import alone, estimate, machine
from striate.timing.alone import name_of, work_of
from striate.timing.calls import Call
from striate.timing.estimate import Estimate
from striate.timing.extent import extent
from striate.timing.machine import Readings
from striate.timing.needs import WORKSPACE, needs, require_memory
from striate.timing.rehearsal import Rehearsal

NETWORK = striate.read("[8x8x3] conv3-8 bn relu add(conv3-8 bn | id) relu avgpool fc-4 softmax")
BATCH = 4
FEW = alone.around(2**20, 10)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SIDE", 32)
    monkeypatch.setattr(machine, "COPIED", 2**12)
    monkeypatch.setattr(estimate, "quiet", lambda: True)
    for module in (alone, estimate):
        monkeypatch.setattr(module, "SECONDS", 0.0)


def estimated(network: Network, folder: Path, compute: Compute | None = None) -> Estimate:
    recipe = Recipe(batch=BATCH)
    return estimate.estimate(network, recipe, compute or Compute(), readings=Readings(folder))


def calls_of(network: Network, compute: Compute | None = None) -> list[Call]:
    rehearsal = Rehearsal(network, Recipe(), compute or Compute(), 2, 4)
    return [each for each in rehearsal.timed(1)[-1].calls if not each.idle]


# -- parts


def test_a_step_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    found = estimated(NETWORK, tmp_path)
    assert list(found.parts) == ["feeding", "forward", "backward", "update"]
    assert all(seconds > 0 for seconds in found.parts.values())
    assert found.step == sum(found.parts.values())


def test_an_epoch_and_a_run_are_steps_and_what_is_scored(tmp_path: Path) -> None:
    parts = {"feeding": 1.0, "forward": 2.0, "backward": 4.0, "update": 1.0}
    found = Estimate(NETWORK, Compute(), 10, parts, 0, 0, images=100, scored=(20, 50), epochs=3)
    assert found.step == 8
    assert found.epoch == 10 * 8 + 2 * 3
    assert found.run == 3 * found.epoch + 5 * 3


def test_layers_that_are_alike_are_timed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []

    def counted(call: Call, images: int, *rest: object) -> Sequence[float]:
        timed.append(name_of(call))
        return 1.0, 2.0

    monkeypatch.setattr("striate.timing.work.alone", counted)
    network = striate.read("[8x8x3] conv3-8 relu (conv3-8 relu)*3 avgpool fc-4 softmax")
    found = estimated(network, tmp_path)
    # Two kinds of convolution, for the first one's images need no gradient; relu, avgpool, fc.
    # Each is timed twice, far apart, and the lower counts.
    assert len(set(timed)) == 5
    assert timed[:5] == timed[5:]
    assert found.parts["forward"] > 10
    assert found.parts["backward"] > 20
    estimated(network, tmp_path)
    assert len(timed) == 10  # all were kept


def test_layers_that_take_long_are_timed_on_fewer_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def counted(call: Call, images: int, *rest: object) -> Sequence[float]:
        seen.append(images)
        return float(images), float(images)

    monkeypatch.setattr("striate.timing.work.alone", counted)
    monkeypatch.setattr("striate.timing.work.LONG", 0.0)
    found = estimated(striate.read("[8x8x3] conv3-8 fc-4 softmax"), tmp_path)
    assert set(seen) == {2}
    assert found.parts["forward"] > 2 * 2 * 1.5  # grown again, with a share that does not grow


def test_gradients_are_added_where_a_volume_is_read_again() -> None:
    """An identity shortcut: one sum; three branches: two; a plain sequence: none."""

    def sums(text: str) -> int:
        return sum(estimate._partings(calls_of(striate.read(text))).values())

    assert sums("[8x8x3] conv3-8 relu add(conv3-8 bn | id) relu avgpool fc-4 softmax") == 1
    branches = "concat(conv1-4 | conv1-4 | conv1-4)"
    assert sums(f"[8x8x3] conv3-8 relu {branches} avgpool fc-4 softmax") == 2
    assert sums("[8x8x3] conv3-8 relu conv3-8 relu avgpool fc-4 softmax") == 0
    assert sums(f"[8x8x3] {branches} avgpool fc-4 softmax") == 0  # images need none


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "resnet20-b", "airbench"])
@pytest.mark.parametrize(
    "compute",
    [
        Compute(),
        Compute(precision="bfloat16", memory_format="channels_last"),
        Compute(precision="bfloat16", memory_format="channels_last", engine="fused"),
    ],
    ids=str,
)
def test_every_layer_can_be_timed_by_itself(name: str, compute: Compute) -> None:
    seen = set()
    for call in calls_of(striate.read(name), compute):
        if name_of(call) not in seen and work_of(call) is not None:
            seen.add(name_of(call))
            found = alone.alone(call, 2, compute, FEW)
            assert found.forward > 0
            assert (found.backward > 0) is call.learns or call.inner
    assert len(seen) > 3


def test_a_layer_timed_by_itself_is_left_without_gradients() -> None:
    for call in calls_of(NETWORK):
        if not call.inner:
            alone.alone(call, 2, Compute(), FEW)
            assert all(each.grad is None for each in call.module.parameters())


def test_what_was_measured_beside_another_program_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "quiet", lambda: False)
    found = estimated(NETWORK, tmp_path)
    assert "other programs are at work" in plain(foretold(found))
    assert not [name for name in Readings(tmp_path).kept if "Conv2d" in name]
    assert "other programs" not in plain(foretold(replace(found, quiet=True)))


# -- memory


def test_memory_is_what_the_account_counts() -> None:
    """In float32: weights, gradients, momentum, what is kept; and the images on their way."""
    totals = NETWORK.account(optimiser="momentum").totals
    program = needs(striate.read("[1x1x1] fc-1 softmax"), Recipe(), Compute()).of(0)
    found = needs(NETWORK, Recipe(), Compute())
    image = totals.training_peak_bytes + 9 * NETWORK.input.size
    assert found.of(9) - found.of(8) == round(WORKSPACE * image)
    expected = WORKSPACE * totals.training_bytes_fixed
    assert found.of(0) - program == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", ["resnet20", "vgg11"])
def test_what_a_step_keeps_is_what_the_account_counts(name: str) -> None:
    """Computed plainly, in float32."""
    network = striate.read(name)
    kept = Rehearsal(network, Recipe(), Compute(), 2, 1).kept()
    assert kept.image == pytest.approx(network.account().totals.kept_bytes, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "copies"),
    [({"rule": "sgd"}, 2), ({}, 3), ({"rule": "adam"}, 4), ({"average": 0.9}, 4)],
)
def test_rules_and_averages_keep_copies_of_the_weights(
    settings: dict[str, object], copies: int
) -> None:
    small, large = (striate.read(f"[1x1x1] fc-{n} softmax") for n in (10, 1010))
    recipe = Recipe(**settings)  # type: ignore[arg-type]
    more = needs(large, recipe, Compute()).fixed - needs(small, recipe, Compute()).fixed
    assert more == pytest.approx(WORKSPACE * 4 * copies * 2000, abs=2)


def test_half_precision_keeps_half_of_the_volumes_and_a_copy_of_the_weights() -> None:
    full, half = (
        needs(striate.read("vgg11"), Recipe(), Compute(precision=each))
        for each in ("float32", "bfloat16")
    )
    assert 0.5 < half.image / full.image < 0.7  # pools keep indices
    assert half.fixed > full.fixed


def test_parts_of_a_batch_need_less() -> None:
    whole, parts = (needs(NETWORK, Recipe(accumulate=n), Compute()).image for n in (1, 4))
    assert parts < whole


def test_what_does_not_fit_is_refused_with_the_batch_that_does(tmp_path: Path) -> None:
    recipe = replace(Recipe(), batch=4096)
    with pytest.raises(RunError, match=r"a step of 4,096 images needs .* GB.*: a batch of [\d,]+"):
        estimate.estimate(striate.read("vgg16"), recipe, Compute(), room=8 * 10**9)
    with pytest.raises(RunError, match="not even one image fits"):
        estimate.estimate(striate.read("vgg16"), recipe, Compute(), room=10**9)


def test_the_batch_that_is_named_fits() -> None:
    found = needs(NETWORK, Recipe(), Compute())
    room = found.of(100) + 1
    assert found.largest(room) == 100
    assert require_memory(found, 100, room) == found.of(100)
    with pytest.raises(RunError, match="a batch of 100 fits"):
        require_memory(found, 101, room)


# -- images


def test_images_are_counted_as_they_are_split_for_training(tmp_path: Path) -> None:
    splits = load("digits")
    found = extent("digits")
    assert abs(found.train - len(splits.train)) <= 10
    assert abs(found.validation - len(splits.validation)) <= 10
    assert found.test == len(splits.test)
    assert found.volume == splits.train.volume
    assert extent("digits", validation=0)[:2] == (found.train + found.validation, 0)


def test_image_files_are_counted_without_being_opened(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(50):
            (tmp_path / label / f"{number}.png").write_bytes(b"no image at all")
    found = extent(str(tmp_path))
    assert (found.train, found.validation, found.test) == (81, 9, 10)


@pytest.mark.parametrize(
    ("splits", "counts"),
    [
        (("train", "test"), (18, 2, 20)),
        (("train", "val"), (18, 2, 20)),
        (("train", "val", "test"), (20, 20, 20)),
    ],
)
def test_splits_of_the_source_are_kept(
    tmp_path: Path, splits: Sequence[str], counts: tuple[int, ...]
) -> None:
    for split in splits:
        for label in ("cat", "dog"):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for number in range(10):
                (folder / f"{number}.png").write_bytes(b"")
    assert extent(str(tmp_path))[:3] == counts


def test_without_images_to_train_on_there_is_nothing_to_count(tmp_path: Path) -> None:
    (tmp_path / "test" / "cat").mkdir(parents=True)
    (tmp_path / "test" / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(DataError):
        extent(str(tmp_path))


# -- what is shown


def test_the_table_has_a_range_for_each_time(tmp_path: Path) -> None:
    parts = {"feeding": 0.0, "forward": 0.25, "backward": 0.5, "update": 0.25}
    compute = replace(Compute(), reason="measured")
    found = Estimate(
        NETWORK,
        compute,
        10,
        parts,
        2 * 10**9,
        8 * 10**9,
        0.25,
        images=600,
        scored=(0, 0),
        epochs=10,
    )
    text = plain(foretold(found))
    assert "1 s" in text
    assert "800 ms to 1.25 s" in text
    assert "10 min 00 s" in text
    assert "2 GB" in text
    assert "of 8 GB here" in text
    assert "measured" not in text
    told = json.loads(estimate_to_json(found))
    assert told["step"] == 1
    assert told["run"] == 600
    assert json.loads(estimate_to_json(replace(found, images=0)))["run"] is None


def test_the_command(run: Run) -> None:
    ran = run("estimate", "[8x8x1] conv3-4 relu fc-10 softmax", "--data", "digits", "--epochs", "3")
    assert ran.returncode == 0, ran.stderr
    assert "3 epochs" in ran.stdout
    assert "memory" in ran.stdout


def test_the_command_refuses_what_does_not_fit(run: Run) -> None:
    ran = run("estimate", "vgg16", "batch=4096", "--memory", "8GB")
    assert ran.returncode == 1
    assert "a batch of" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_images_of_other_classes_are_refused_before_anything_is_timed(run: Run) -> None:
    ran = run("estimate", "[8x8x1] conv3-8 relu fc-7 softmax", "--data", "digits")
    assert ran.returncode == 1
    assert "digits has 10 classes, but the network ends in a volume of 1x1x7" in ran.stderr


def test_more_threads_than_cores_are_refused(run: Run) -> None:
    ran = run("estimate", "lenet5", "--threads", "5000")
    assert ran.returncode == 2 and "this machine has" in ran.stderr
