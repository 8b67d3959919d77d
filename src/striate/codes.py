"""The fixed codes of LeNet-5's output units: each class a drawing of +1 and -1.

The paper draws each character on a 7x12 bitmap, so that similar characters have similar codes
(LeCun et al. 1998, section II.C and figure 3). Its figure is not reproduced pixel by pixel: these
are digits drawn in the same frame.
"""

from __future__ import annotations

import random

ROWS, COLUMNS = 12, 7

DIGITS = """
.#####. ..##... .#####. .#####. #....## ####### .#####. ####### .#####. .#####.
##...## .###... ##...## ##...## #....## ##..... ##...## .....## ##...## ##...##
##...## ####... .....## .....## #....## ##..... ##..... .....## ##...## ##...##
##...## ..##... .....## .....## ##...## ##..... ##..... ....##. ##...## ##...##
##...## ..##... ....##. .....## ##...## ######. ##..... ....##. .#####. ##...##
##...## ..##... ...##.. ..####. ####### .....## ######. ...##.. .#####. .######
##...## ..##... ..##... .....## .....## .....## ##...## ...##.. ##...## .....##
##...## ..##... .##.... .....## .....## .....## ##...## ..##... ##...## .....##
##...## ..##... ##..... .....## .....## .....## ##...## ..##... ##...## .....##
##...## ..##... ##..... ##...## .....## ##...## ##...## .##.... ##...## ##...##
.#####. ####### ####### .#####. .....## .#####. .#####. .##.... .#####. .#####.
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def codes(units: int, inputs: int) -> list[list[int]]:
    """A code of +1 and -1 for each unit: the digits' drawings for 10 units over 84 inputs.

    Other sizes get codes drawn at random, always the same ones.
    """
    if (units, inputs) == (10, ROWS * COLUMNS):
        rows = [row.split() for row in DIGITS.split("\n") if row]
        drawn = ["".join(row[digit] for row in rows) for digit in range(units)]
        return [[1 if pixel == "#" else -1 for pixel in drawing] for drawing in drawn]
    chance = random.Random(1998)
    return [[chance.choice((-1, 1)) for _ in range(inputs)] for _ in range(units)]
