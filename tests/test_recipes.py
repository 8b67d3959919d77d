"""Recipes: the published ones, their text and back, what a person types, what is refused."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from striate import recipes
from striate.cli.recipe import command
from striate.errors import RunError
from striate.recipes import (
    Recipe,
    explained,
    from_toml,
    names,
    read,
    split_settings,
    to_toml,
)
from striate.recipes.choices import FLIPS, RULES, SCHEDULES
from striate.recipes.limits import LIMITS
from striate.recipes.recipe import SETTINGS

Run = Callable[..., subprocess.CompletedProcess[str]]

WANTED = (
    "lenet-1998 alexnet-2012 zfnet-2013 vgg-2014 googlenet-2014 resnet-2015 resnet-cifar-2015 "
    "alphago-policy-2016 convnetjs-cifar10 airbench-94 speed finetune head lab default"
)


# -- the published ones


def test_the_recipes_of_the_papers_come_along() -> None:
    assert names() == sorted(WANTED.split())


@pytest.mark.parametrize("name", names())
def test_each_says_what_it_is_and_where_it_departs_from_its_paper(name: str) -> None:
    found = read(name)
    assert found.title and found.paper and found.note
    text = resources.files(recipes).joinpath(f"{name}.toml").read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 100
    settings = list(tomllib.loads(text))
    assert len(text.splitlines()) < 50 and settings[:3] == ["title", "paper", "note"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lenet-1998", {"epochs": 20, "rule": "sgd", "initialisation": "lecun"}),
        ("alexnet-2012", {"batch": 128, "learning_rate": 0.01, "weight_decay": 5e-4}),
        ("alexnet-2012", {"epochs": 90, "lighting": 0.1, "normalisation": "mean-image"}),
        ("zfnet-2013", {"epochs": 70, "batch": 128, "max_rms": 0.1, "lighting": 0.0}),
        ("vgg-2014", {"epochs": 74, "batch": 256, "scale": (256, 512), "normalisation": "mean"}),
        ("googlenet-2014", {"area": (0.08, 1), "aspect": (0.75, 4 / 3), "factor": 0.96}),
        ("resnet-2015", {"epochs": 120, "scale": (256, 480), "weight_decay": 1e-4}),
        ("resnet-cifar-2015", {"epochs": 164, "batch": 128, "milestones": (0.5, 0.75)}),
        ("resnet-cifar-2015", {"learning_rate": 0.1, "shift": 4, "weight_decay": 1e-4}),
        ("alphago-policy-2016", {"batch": 16, "learning_rate": 0.003, "every": 80 / 340}),
        ("convnetjs-cifar10", {"rule": "adadelta", "epsilon": 1e-8, "weight_decay": 1e-4 / 4}),
        ("airbench-94", {"epochs": 8, "batch": 2000, "momentum": 0.6, "bias_rate": 0.053 * 2000}),
    ],
)
def test_their_numbers_are_the_papers(name: str, settings: dict[str, Any]) -> None:
    found = read(name)
    for each, value in settings.items():
        same = value if isinstance(value, str) else pytest.approx(value)
        assert getattr(found, each) == same, each


def test_airbenchs_decay_is_the_published_part_of_a_weight_in_a_step() -> None:
    found = read("airbench-94")
    assert found.learning_rate * found.weight_decay == pytest.approx(2e-6 * 2000)


def test_another_rule_brings_a_rate_of_its_own() -> None:
    """A rate for momentum would be twenty times too high for Adam; one that is said stays."""
    assert read("default").with_settings({"rule": "adam"}).learning_rate == 0.001
    said = read("default").with_settings({"rule": "adam", "lr": "0.003"})
    assert said.learning_rate == 0.003


def test_a_recipe_is_read_from_a_file_or_by_a_name_in_any_spelling(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("epochs = 3\n", "utf-8")
    assert read(path) == read(str(path)) == Recipe(epochs=3)
    assert read("ResNet_CIFAR 2015") == read("resnet-cifar-2015")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "there is no setting 'epoch'; did you mean epochs?"),
        ("epochs = 0", "epochs must be at least 1"),
        ("epochs =\n", ":1:9: Invalid value"),
        ("clip = " + "9" * 400, "clip must be above 0, not inf"),
        ("epochs = " + "9" * 400, "epochs must be at least 1 and at most 1,000,000,000"),
        ("clip = " + "9" * 5000, "Exceeds the limit"),
        ("clip = " + "[" * 5000, "recursion"),
        ("epochs = 1\n\nrule = [}]", ":3:9: Invalid value"),
    ],
)
def test_an_error_in_a_file_is_placed(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(RunError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:") and message in str(error.value)


def test_a_file_or_a_name_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no recipe named 'resnet-2016'; did you mean resnet-2015"):
        read("resnet-2016")
    with pytest.raises(RunError, match=r"none\.toml cannot be read: No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match="it is not a UTF-8 text"):
        read(tmp_path / "bytes.toml")


# -- text and back


NUMBERS = {
    name: st.integers(int(max(low, 0)), int(min(high, 10**15)))
    if str(SETTINGS[name].type).startswith("int")
    else st.floats(low, high)
    for name, (low, high) in LIMITS.items()
}
FREE = ("learning_rate", "bias_rate", "weight_decay", "clip", "seed", "cutout", "average", "mixup")


@st.composite
def any_recipe(draw: st.DrawFn) -> Recipe:
    """A rule and a schedule with what they read, some other numbers, and any texts."""
    rule = draw(st.sampled_from(list(RULES)))
    schedule = draw(st.sampled_from([each for each in SCHEDULES if each != "step"]))
    read = [name for name in (*RULES[rule], *SCHEDULES[schedule]) if name != "renormalise"]
    chosen = draw(st.sets(st.sampled_from([*read, *FREE])))
    settings: dict[str, Any] = {name: draw(NUMBERS[name]) for name in sorted(chosen)}
    if draw(st.booleans()):
        times = sorted(draw(st.sets(st.floats(0.1, 0.9), min_size=1, max_size=4)))
        settings |= {"milestones": tuple(times), "factor": draw(st.none() | st.floats(0.1, 1))}
        settings = {
            n: each for n, each in settings.items() if n not in SCHEDULES[schedule] or n == "factor"
        }
        schedule = "step"
    for name in ("title", "note"):
        settings[name] = draw(st.text() | st.text("ab \\\"'\n\r\t\x7f", min_size=90))
    flip = draw(st.sampled_from(FLIPS))
    return Recipe(rule=rule, schedule=schedule, flip=flip, whiten=draw(st.booleans()), **settings)


@given(any_recipe())
def test_a_recipe_is_text_and_back(recipe: Recipe) -> None:
    """The plain text that a run keeps, and the whole one that is printed."""
    assert from_toml(to_toml(recipe)) == recipe
    assert from_toml(explained(recipe)) == recipe


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_whole_text_has_every_setting_that_is_read(rule: str, schedule: str) -> None:
    """Also those left out, as comments; and none that the rule and schedule do not read."""
    every = 0.2 if schedule == "step" else None
    lines = explained(Recipe(rule=rule, schedule=schedule, every=every)).splitlines()
    shown = [line.removeprefix("# ").partition(" = ")[0] for line in lines if " = " in line]
    knobs = {name for readers in (RULES, SCHEDULES) for read in readers.values() for name in read}
    unread = knobs - RULES[rule].keys() - SCHEDULES[schedule].keys()
    assert shown == [name for name in SETTINGS if name not in unread]


# -- what a person types


@given(any_recipe())
def test_typed_settings_are_read_as_the_text_is(recipe: Recipe) -> None:
    typed = {"rule": recipe.rule, "schedule": recipe.schedule}
    for name in SETTINGS:
        value = getattr(recipe, name)
        if name not in ("title", "note", "paper"):
            parts = value if isinstance(value, tuple) else (value,)
            typed[name] = ",".join(
                str(each).lower() if value is not None else "none" for each in parts
            )
    plain = replace(recipe, title="", note="")
    assert Recipe().with_settings(typed) == plain


def test_typed_settings() -> None:
    found = Recipe().with_settings(
        split_settings(["lr=0.01", "epochs=5", "clip = 2", "flip=none", "scale=256,480"])
    )
    assert found == Recipe(learning_rate=0.01, epochs=5, clip=2.0, scale=(256.0, 480.0))
    assert found.with_settings({"clip": "none", "scale": "None"}).clip is None
    assert Recipe().with_settings({"title": "12", "whiten": "True"}) == Recipe(
        title="12", whiten=True
    )
    step = Recipe().with_settings({"schedule": "step", "milestones": "0.5", "factor": "0.2"})
    assert step.milestones == (0.5,) and step.factor == 0.2


def test_another_rule_or_schedule_leaves_the_old_ones_settings_behind() -> None:
    found = read("resnet-cifar-2015").with_settings({"schedule": "cosine", "rule": "sgd"})
    assert (found.milestones, found.factor, found.momentum) == (None, None, None)
    found = read("airbench-94").with_settings({"rule": "nesterov", "momentum": "0.8"})
    assert (found.momentum, found.renormalise) == (0.8, None)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["epochs"], "written NAME=VALUE, as in lr=0.01, not 'epochs'"),
        (["epochs="], "written NAME=VALUE"),
        (["=5"], "written NAME=VALUE"),
        (["epochs=5", "epochs=6"], "epochs is set twice"),
        (["lr=0.1", "learning_rate=0.1"], "learning_rate is set twice"),
        (["learning-rate=1"], "no setting 'learning-rate'; did you mean learning_rate"),
        (["epochs=5.0"], "epochs must be a whole number, not 5.0"),
        (["epochs=many"], "epochs must be a whole number, not 'many'"),
        (["epochs=none"], "epochs must be a whole number, not 'none'"),
        (["epochs=true"], "epochs must be a whole number, not True"),
        (["lr=0.1,0.2"], r"learning_rate must be a number, not \[0.1, 0.2\]"),
        (["lr=nan"], "learning_rate must be above 0, not nan"),
        (["whiten=1"], "whiten must be true or false, not 1"),
        (["scale=256"], "scale must be two numbers, not 256"),
        (["scale=480,256"], "scale must rise, not 480.0, 256.0"),
        (["schedule=step", "milestones=early"], "milestones must be numbers, not 'early'"),
        (["rule=adm"], "did you mean adam"),
    ],
)
def test_what_cannot_be_set_is_said(typed: list[str], message: str) -> None:
    with pytest.raises(RunError, match=message):
        Recipe().with_settings(split_settings(typed))


# -- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "sgd", "momentum": 0.9}, "rule 'sgd' has no momentum: leave it out, or choose "),
        ({"rule": "adam", "renormalise": True}, "rule 'adam' has no renormalise: .* choose muon"),
        ({"epsilon": 1e-8}, "rule 'momentum' has no epsilon"),
        (
            {"schedule": "cosine", "milestones": (0.5,)},
            "'cosine' has no milestones: .* choose step",
        ),
        ({"patience": 3}, "schedule 'linear' has no patience"),
        ({"schedule": "step"}, "schedule 'step' needs one of milestones and every"),
        ({"schedule": "step", "every": 0.1, "milestones": (0.5,)}, "needs one of"),
        ({"schedule": "step", "milestones": (0.5, 0.6), "factor": (0.1,)}, "1 numbers for 2 miles"),
        ({"schedule": "step", "every": 0.1, "factor": (0.1,)}, "1 numbers for 0 milestones"),
        ({"schedule": "plateau", "factor": (0.1,)}, "1 numbers for 0 milestones"),
        ({"schedule": "one-cycle", "warm_up": 0.1}, "one-cycle rises by itself"),
        ({"aspect": (0.75, 1.3)}, "aspect is not used without area"),
        ({"area": (0.1, 1.0), "scale": (256.0, 512.0)}, "two ways to crop"),
        ({"grow_until": 0.5}, "grow_until is not used without grow_from"),
        ({"padding": "reflect"}, "padding is not used without shift"),
        ({"whiten_bias_epochs": 3}, "whiten_bias_epochs is not used without whiten"),
        ({"initialisation": "xaver"}, "did you mean xavier"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, not 1.0"),
        ({"weight_decay": -1e-3}, "weight_decay must be at least 0, not -0.001"),
        ({"seed": -1}, r"seed must be at least 0 and below 2\^63, not -1"),
        ({"resize": 10**6}, "resize must be at least 1 and at most 100,000"),
        ({"learning_rate": float("inf")}, "learning_rate must be above 0, not inf"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(settings: Any, message: str) -> None:
    """And one that says what nothing would read."""
    with pytest.raises(RunError, match=message):
        Recipe(**settings)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_takes_what_it_reads_and_refuses_the_rest(rule: str) -> None:
    for name in {name for reads in RULES.values() for name in reads}:
        value: Any = {"renormalise": True, "newton_schulz": 3}.get(name, 0.5)
        if name in RULES[rule]:
            assert Recipe(rule=rule, **{name: value}).knob(name) == value
        else:
            with pytest.raises(RunError, match=f"rule '{rule}' has no {name}"):
                Recipe(rule=rule, **{name: value})


# -- the command


def said(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_list_has_every_recipe_with_its_title() -> None:
    shown = said()
    for name in names():
        assert f"{name} " in shown and read(name).title in shown
    listed = json.loads(said("--format", "json"))
    assert [each["name"] for each in listed] == names()


def test_a_recipe_is_printed_whole_and_can_be_read_back() -> None:
    shown = said("vgg-2014", "lr=0.02", "epochs=3")
    assert from_toml(shown) == replace(read("vgg-2014"), learning_rate=0.02, epochs=3)
    assert json.loads(said("vgg-2014", "--format", "json"))["batch"] == 256


def test_recipes_need_no_torch(python: Run) -> None:
    code = "from striate import recipes; recipes.read('default')"
    done = python("-c", f"import sys; {code}; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
