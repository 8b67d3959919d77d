"""`striate match`: does a network follow a pattern?"""

from __future__ import annotations

import click

from striate.cli.arguments import net

LECTURE = "[(CONV-RELU)*N-POOL?]*M-(FC-RELU)*K,SOFTMAX"


@click.command("match")
@net
@click.argument("pattern", default=LECTURE)
def command(net: str, pattern: str) -> None:
    """Say whether a network follows a pattern, with which counts.

    PATTERN is by default the lecture's, [(CONV-RELU)*N-POOL?]*M-(FC-RELU)*K,SOFTMAX.
    The exit code is 1 where the network does not follow it.
    """
    from striate.network import read
    from striate.pattern import match, within_bounds

    found = match(read(net), pattern)
    if not found:
        print(f"does not match {pattern}: {found.reason}")
        raise SystemExit(1)
    print(f"matches {pattern}")
    for name, counts in found.counts.items():
        print(f"{name} = {', '.join(map(str, counts))}")
    if found.passed_over:
        print(f"passing over {', '.join(found.passed_over)}")
    if pattern == LECTURE:
        usual = "within" if within_bounds(found) else "outside"
        print(f"{usual} the lecture's usual bounds (N up to 5, K up to 2)")
