"""A slice of the fuzz, through the same functions: `make fuzz` tries many more texts."""

from __future__ import annotations

from random import Random

import pytest
from fuzz import Broken, generated, nasty, outcome, timed, try_texts
from makers import random_text

SECONDS = 20.0  # for one text; generous, for machines under load


NASTY = nasty(size=20_000)


@pytest.mark.parametrize("what", NASTY)
def test_texts_made_by_hand(what: str) -> None:
    timed(NASTY[what], SECONDS)


def test_generated_texts() -> None:
    tally = try_texts(generated(seed=1, count=1200), SECONDS)
    assert tally.broken is None, tally.broken
    assert tally.outcomes.total() == 1200
    assert {"Network", "NotationError", "UnknownWord", "VolumeMismatch"} <= set(tally.outcomes)
    assert tally.outcomes["Network"] > 120


def test_the_same_seed_gives_the_same_texts() -> None:
    assert list(generated(3, 20)) == list(generated(3, 20))
    assert random_text(Random(4)) == random_text(Random(4))


def test_outcomes() -> None:
    assert outcome("[8x8x3] relu") == "Network"
    assert outcome("[8x8x3] rely") == "UnknownWord"


def test_a_hang_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(text: str) -> str:
        while True:
            pass

    monkeypatch.setattr("fuzz.outcome", hang)
    with pytest.raises(Broken, match="more than"):
        timed("", 0.05)


def test_another_exception_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.outcome", lambda text: 1 / 0)
    tally = try_texts(["one", "two"])
    assert tally.broken
    assert tally.broken[0] == "one"
    assert "ZeroDivisionError" in tally.broken[1]
