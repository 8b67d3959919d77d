"""`striate match`: does a network follow a pattern?"""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.table import Net

LECTURE = "[(CONV-RELU)*N-POOL?]*M-(FC-RELU)*K,SOFTMAX"


def match(
    net: Net,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="By default the lecture's.")
    ] = LECTURE,
) -> None:
    """Say whether a network follows a pattern, with which counts.

    The exit code is 1 where it does not.
    """
    from striate.network import read
    from striate.pattern import match as matched
    from striate.pattern import within_bounds

    found = matched(read(net), pattern)
    if not found:
        print(f"does not match {pattern}: {found.reason}")
        raise typer.Exit(1)
    print(f"matches {pattern}")
    for name, counts in found.counts.items():
        print(f"{name} = {', '.join(map(str, counts))}")
    if found.passed_over:
        print(f"passing over {', '.join(found.passed_over)}")
    if pattern == LECTURE:
        usual = "within" if within_bounds(found) else "outside"
        print(f"{usual} the lecture's usual bounds (N up to 5, K up to 2)")
