"""Strategies of hypothesis for whole scripts and for texts: thin coats over makers.py."""

from __future__ import annotations

import os
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from makers import Maker, random_text

from striate.notation import write_script
from striate.tree import Script


def scripts() -> st.SearchStrategy[Script]:
    """Networks with blocks, parameters, groups, branches, labels, heads and checks; all valid."""
    return _randoms().map(lambda random: Maker(random).script())


def texts() -> st.SearchStrategy[str]:
    """Canonical texts of such networks."""
    return scripts().map(write_script)


def random_texts() -> st.SearchStrategy[str]:
    """Texts that may be anything: networks, networks after accidents, and noise."""
    return _randoms().map(random_text)


def _randoms() -> st.SearchStrategy[Random]:
    return st.integers(0, 2**64).map(Random)


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
quick = settings(
    max_examples=60,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=SLOW,
)
thorough = settings(quick, max_examples=200)
