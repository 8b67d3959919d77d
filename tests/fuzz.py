"""Reads generated texts, most of them wrong, and looks for what must never happen.

    python tests/fuzz.py --texts 100000 --seed 1

Each text must give a Network, whose canonical text gives the same network again, or a NotationError
that names a place in the text; never another exception, never a hang, never unbounded memory. The
first text that does something else is saved, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from makers import random_text

from striate import zoo
from striate.errors import NotationError
from striate.network import Network
from striate.notation.read import LONGEST_TEXT

MEMORY = 2 << 30
PROCESSES = 2
CHUNK = 500


class TooSlow(BaseException):
    """The time for one text is up. No Exception, so that nothing on the way can swallow it."""


class Broken(Exception):
    """A text did what no text may do."""


@dataclass
class Tally:
    """What became of some texts."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_text: str = ""
    broken: tuple[str, str] | None = None

    def __iadd__(self, other: Tally) -> Tally:
        self.outcomes += other.outcomes
        if other.slowest > self.slowest:
            self.slowest, self.slowest_text = other.slowest, other.slowest_text
        self.broken = self.broken or other.broken
        return self


def outcome(text: str) -> str:
    """`Network`, or the class of the placed error. Raises Broken where a promise does not hold."""
    try:
        network = Network.parse(text)
    except NotationError as error:
        return judged(error, text)
    written = str(network)
    if len(written) > LONGEST_TEXT:  # one just short enough may be written more spaciously
        return "Network"
    try:
        again = Network.parse(written)
    except NotationError as error:
        raise Broken(f"its canonical text cannot be read: {error}\n{written}") from error
    if again != network or str(again) != written:
        raise Broken(f"its canonical text is another network:\n{written}\n{again}")
    return "Network"


def judged(error: NotationError, text: str) -> str:
    """The class of the error, if its message is one that a person can use."""
    shown = str(error)
    if error.place is None or not shown.startswith(
        f"text:{error.place.line}:{error.place.column}: "
    ):
        raise Broken(f"the error names no place: {shown}")
    if not 0 <= error.place.start <= len(text):
        raise Broken(f"the place lies outside of the text: {shown}")
    if "\n" in error.message or not error.message.strip() or len(shown) > 5000:
        raise Broken(f"the message has {len(shown)} characters: {shown}")
    return type(error).__name__


def timed(text: str, limit: float) -> tuple[str, float]:
    """The outcome of a text and the seconds of CPU it took; Broken after too many of them."""

    def up(signum: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, up)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    started = time.process_time()
    try:
        found = outcome(text)
    except TooSlow:
        raise Broken(f"it takes more than {limit} seconds") from None
    except Broken:
        raise
    except BaseException as error:
        raise Broken("".join(traceback.format_exception(error))) from error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return found, time.process_time() - started


def try_texts(texts: Iterator[str] | list[str], limit: float = 5.0) -> Tally:
    """Tries texts one by one, up to the first that is broken."""
    tally = Tally()
    for text in texts:
        try:
            found, seconds = timed(text, limit)
        except Broken as broken:
            tally.broken = text, str(broken)
            break
        tally.outcomes[found] += 1
        if seconds > tally.slowest:
            tally.slowest, tally.slowest_text = seconds, text
    return tally


def generated(seed: int, count: int) -> Iterator[str]:
    """As many texts; the same for the same seed."""
    random = Random(seed)
    published = tuple(zoo.text(name) for name in zoo.names())
    for _ in range(count):
        yield random_text(random, published)


def nasty(size: int = 240_000) -> dict[str, str]:
    """Texts made by hand to be as bad as can be, each by what it tries; about this long at most."""
    begin = "[8x8x3] "
    great = 2**31 - 1
    doubling = "".join(
        f"b{n}_() = {f'b{n - 1}_() b{n - 1}_()' if n else 'relu'}\n" for n in range(40)
    )
    deep = "b0_() = relu\n" + "".join(
        f"b{n}_() = {'(' * 38}b{n - 1}_(){')' * 38}\n" for n in range(1, 40)
    )
    chain = "".join(f"b{n}_() = {f'b{n - 1}_()' if n else 'relu'}\n" for n in range(3000))
    parameters = ", ".join(f"p{n}=1" for n in range(size // 16))
    return {
        "nothing": "",
        "white space": " \n\t\r\n",
        "a comment alone": "# [8x8x3] relu",
        "NUL": begin + "relu\0relu",
        "CRLF": "name: x\r\n---\r\n[8x8x3]\r\nrelu # a\r\nrelu\r\n",
        "carriage returns": "name: x\r---\r[8x8x3]\rrelu",
        "byte order mark": "\ufeff[8x8x3] relu",
        "surrogate": begin + "relu \ud800",
        "other digits": "[٨x٨x٣] conv٣-٤",
        "dotted capital": begin + "xİ: relu",
        "Kelvin": begin + "K: relu @K",
        "a billion layers": begin + "(conv3-1)*1000000000",
        "a billion nothings": begin + "relu ([8x8x3])*1000000000",
        "a billion references": begin + "x: relu (@x)*1000000000",
        "nested repeats": begin + "(" * 20 + "relu" + ")*1000" * 20,
        "nested repeats of one": begin + "(" * 40 + "relu" + ")*1" * 40,
        "labels all the way": begin + "".join(f"l{n}: (" for n in range(40)) + "relu" + ")" * 40,
        "blocks doubling": doubling + begin + "b39_()",
        "blocks of groups": deep + begin + "b39_()",
        "blocks of blocks": chain + begin + "b2999_()",
        "block of itself": "f(k) = f(k)\n" + begin + "f(1)",
        "blocks of each other": "f() = g()\ng() = f()\n" + begin + "g()",
        "many parameters": f"f({parameters}) = relu\n{begin} " + "f() " * (size // 16),
        "much repeated parameters": f"f({parameters[:700]}=1) = relu\n{begin} f()*50000",
        "many channels": begin + "take(" + ", ".join("0" * (size // 3)) + ")",
        "often many channels": begin + "take(" + ", ".join("0" * 499) + f")*{size // 3}",
        "huge kernel": begin + f"conv{great}-1(pad=0)",
        "huge even kernel": begin + f"conv{great - 1}-1",
        "huge padded kernel": begin + f"conv{great}-1/{great}(pad={great}, dilation={great})",
        "huge stride": begin + f"maxpool2/{great}",
        "huge padding": begin + f"conv3-1(pad={great}) conv3-1(pad={great})",
        "huge dilation": begin + f"maxpool3(dilation={great})",
        "huge groups": begin + f"conv3-{great}(groups={great})",
        "huge filters": begin + f"conv3-{great}(groups=3)",
        "huge upsampling": begin + f"upsample{great} " * 3 + "relu",
        "huge upsampling, repeated": begin + "upsample65536*50000",
        "huge transposed": begin + f"deconv{great}-1/{great}(dilation={great})*3",
        "huge flattening": f"[{great}x{great}x{great}] flatten relu",
        "huge volume": f"[{great}x{great}x{great}] conv3-1 maxpool fc-10",
        "huge bad fit": f"[{great}x{great - 1}x1] conv3-8/{great - 7}(pad=0)",
        "huge concatenation": begin + f"concat(fc-{great} | fc-{great})",
        "huge shortcuts": f"[{great}x1x1] add(id | shortcut-{great}/{great})",
        "too large by one": f"[{great + 1}x1x1] relu",
        "no digits left": "[" + "9" * 5000 + "x1x1] relu",
        "long number": begin + f"dropout(0.{'1' * 5000})",
        "long numbers": begin + "leakyrelu(1e999) leakyrelu(-1e999)",
        "a megabyte of layers": begin + "relu " * 200_000,
        "a megabyte of one word": begin + "a" * 1_000_000,
        "a megabyte of white space": begin + " " * 1_000_000,
        "as many layers as can be written": "[1x1x1] " + "id " * (size // 3),
        "as many words as can be written": begin + "a " * (size // 2),
        "one long word": begin + "a" * size,
        "one long comment": begin + "#" * size,
        "open brackets": "a(" * (size // 2),
        "open groups": begin + "(" * size,
        "closed groups": begin + "relu" + ")" * size,
        "open volumes": "[" * size,
        "definitions": "f(k)=" * (size // 5),
        "dashes": begin + "conv3" + "-" * size,
        "minus signs": begin + "dropout(" + "-" * size + "1)",
        "minus signs and parameters": "f(k) = conv3-(" + "-" * size + f"k)\n{begin} f(3)",
        "long expression": "f(k) = conv3-(" + "k*" * (size // 2) + f"k)\n{begin} f(3)",
        "long growing expression": f"f(k) = conv3-({'*'.join('k' * 49)})\n{begin} f(99)",
        "deep expression": "f(k) = conv3-(" + "(k+" * 38 + "k" + ")" * 38 + f")\n{begin} f(1)",
        "wide and deep expression": f"f(k) = conv3-{('(k+k+k+k' + '+k' * 30 + '+') * 38}k{')' * 38}"
        f"\n{begin} f(1)",
        "thousands of checks": begin + "relu " * (size // 8) + "[8x8x3]" * (size // 80),
        "thousands of wrong checks": begin + "relu " + "[8x8x4] " * (size // 8),
        "thousands of heads": begin
        + "x: relu "
        + " ".join(f"head h{n} from @x: relu" for n in range(size // 30)),
        "thousands of branches": begin + "add(" + " | ".join(["id"] * (size // 5)) + ")",
        "thousands of branches that differ": begin
        + "add("
        + " | ".join(f"fc-{n}" for n in range(1, size // 11))
        + ")",
        "thousands of labels": begin + " ".join(f"l{n}: relu" for n in range(size // 14)) + " @m",
        "a label like another": begin + "relu1: relu relu relu2: relu",
        "labels that are words": begin
        + "forward: relu train: relu head: relu from: relu add(@forward | @train | @head | @from)",
        "heads that are words": begin
        + "from: relu head from from @from: relu head forward from @from: relu",
        "a head like the network": begin + "x: relu head main from @x: relu",
        "a head like a layer": begin + "x: relu head x from @x: relu head relu1 from @x: relu",
        "a head without layers": begin + "x: relu head y from @x: @x",
        "a network without layers": begin + "x: ([8x8x3]) head y from @x: relu",
        "an empty branch": begin + "add( | relu)",
        "an empty group": begin + "()",
        "an empty block": "f() =\n" + begin + "f()",
        "only blocks": "f() = relu",
        "two inputs": "[8x8x3] [8x8x3] relu",
        "front matter alone": "name: x\n---\n",
        "front matter without end": "name: x\n[8x8x3] relu",
        "a thousand rules": "---\n" * 1000,
    }


def limit_memory() -> None:
    """Where more is asked for, Python raises MemoryError."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _chunk(seed: int, count: int, limit: float) -> Tally:
    return try_texts(generated(seed, count), limit)


def main() -> int:
    """Spreads the texts over processes and prints what became of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds-each", type=float, default=5.0, help="of CPU, at most")
    parser.add_argument("--save", type=Path, default=Path("fuzz-failure.net"))
    options = parser.parse_args()

    started, total, done = time.monotonic(), Tally(), 0
    with ProcessPoolExecutor(PROCESSES, initializer=limit_memory) as pool:
        tries = [pool.submit(try_texts, [text], options.seconds_each) for text in nasty().values()]
        for start in range(0, options.texts, CHUNK):
            count = min(CHUNK, options.texts - start)
            seed = options.seed * 1_000_003 + start
            tries.append(pool.submit(_chunk, seed, count, options.seconds_each))
        for each in tries:
            total += each.result()
            done += 1
            if sys.stderr.isatty():
                print(f"\r{done / len(tries):4.0%}", end="", file=sys.stderr, flush=True)
            if total.broken:
                pool.shutdown(cancel_futures=True)
                break

    print(f"\r{total.outcomes.total():,} texts in {time.monotonic() - started:.0f} s")
    for what, count in total.outcomes.most_common():
        print(f"{count:10,}  {what}")
    print(f"slowest: {total.slowest:.2f} s of CPU for {total.slowest_text[:60]!r}")
    if total.broken:
        text, reason = total.broken
        options.save.write_text(text, "utf-8", errors="surrogatepass", newline="")
        print(f"broken, saved as {options.save}: {reason[-3000:]}", file=sys.stderr)
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
