"""Correctly rounded values of elementary functions, by mpmath 1.3.

    pip install mpmath==1.3.0
    python Tests/Fixtures/functions/generate.py

Writes values.txt beside it: a function's name, the bits of its arguments and of its value, in
hexadecimal, a case a line.
"""

import math
import pathlib
import random
import struct

from mpmath import mp, mpf

mp.prec = 2400  # the fraction of an angle of 2^30 and the nearest cases of a double keep enough of it


def bits(x):
    return struct.pack(">d", x).hex()


def rounded(value):
    """The nearest double, ties to even; subnormal ones included."""
    if value == 0:
        return 0.0
    sign, exponent = (-1 if value < 0 else 1), int(mp.floor(mp.log(abs(value), 2)))
    step = mpf(2) ** (max(exponent, -1022) - 52)
    quotient = abs(value) / step
    whole = int(mp.floor(quotient))
    rest = quotient - whole
    if rest > 0.5 or (rest == 0.5 and whole % 2 == 1):
        whole += 1
    return sign * math.ldexp(whole, max(exponent, -1022) - 52)


def main():
    draw = random.Random(7)
    uniform = draw.uniform

    def logarithmic(low, high):
        return math.exp(uniform(math.log(low), math.log(high)))

    def either(x):
        return x if draw.random() < 0.5 else -x

    positions = [float(draw.randrange(131072)) for _ in range(60)]
    multiples = [draw.randrange(1, 1 << 29) * math.pi / 2 for _ in range(60)]
    angles = (
        [uniform(0, 2 * math.pi) for _ in range(80)] + positions + multiples
        + [either(logarithmic(1e-12, 2**30)) for _ in range(80)] + [2.0**30, -(2.0**30)]
    )
    cases = {
        "exp": [uniform(-708, 709) for _ in range(120)] + [uniform(-1, 1) for _ in range(80)]
        + [uniform(-745, -708) for _ in range(20)] + [709.78, -745.1, 1e-300],
        "expm1": [uniform(-38, 38) for _ in range(120)] + [uniform(-1, 1) for _ in range(80)]
        + [either(logarithmic(1e-20, 1)) for _ in range(60)],
        "log": [logarithmic(1e-300, 1e300) for _ in range(120)]
        + [uniform(0.5, 2) for _ in range(120)] + [1 + uniform(-1e-6, 1e-6) for _ in range(20)]
        + [5e-324, 1e-310, 0.5, 2.0, 1 - 2**-53],
        "sin": angles,
        "cos": angles,
        "tanh": [uniform(-20, 20) for _ in range(80)] + [uniform(-1, 1) for _ in range(120)]
        + [either(logarithmic(1e-12, 1)) for _ in range(40)],
        "pow": [(logarithmic(1e-12, 1e12), uniform(-25, 25)) for _ in range(120)]
        + [(draw.choice([0.9, 0.95, 0.98, 0.999, 0.9999]), float(draw.randrange(1, 200000)))
           for _ in range(80)]
        + [(draw.choice([10000.0, 500000.0, 1e6]), -2 * i / d)
           for d in (64, 96, 128) for i in range(0, d // 2, 7)],
    }
    functions = {
        "exp": mp.exp, "expm1": mp.expm1, "log": mp.log, "sin": mp.sin, "cos": mp.cos,
        "tanh": mp.tanh, "pow": mp.power,
    }
    lines = []
    for name, arguments in cases.items():
        for argument in arguments:
            given = argument if isinstance(argument, tuple) else (argument,)
            value = rounded(functions[name](*map(mpf, given)))
            lines.append(" ".join([name, *map(bits, given), bits(value)]))
    path = pathlib.Path(__file__).parent / "values.txt"
    path.write_text("\n".join(lines) + "\n")


main()
