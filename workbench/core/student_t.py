"""Student's t distribution in plain Python: the screen and the command line need it without NumPy."""

from __future__ import annotations

import math

_TINY = 1e-300
_MAX_STEPS = 500
_TOLERANCE = 1e-15


def two_sided_p(t: float, df: float) -> float:
    """The probability of a |T| of at least |`t`| with `df` > 0 degrees of freedom (need not be whole)."""
    if math.isnan(t) or math.isinf(t):
        return math.nan if math.isnan(t) else 0.0
    return _incomplete_beta(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t))


def quantile(probability: float, df: float) -> float:
    """The t at which the distribution function reaches `probability`, which is in (0.5, 1)."""
    tail = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while two_sided_p(high, df) > tail:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, df) > tail else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float, complement: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (https://dlmf.nist.gov/8.17#E22).

    `complement` is 1 - x without the rounding of that subtraction.
    """
    if x <= 0 or complement <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, complement, x)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    factor = math.exp(a * math.log(x) + b * math.log(complement) - log_beta) / a
    return factor * _continued_fraction(a, b, x)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Lentz's method, as modified by Thompson and Barnett (https://doi.org/10.1016/0021-9991(86)90046-X)."""
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, _MAX_STEPS):
        m = step // 2
        if step % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _nonzero(1 + numerator * d)
        c = _nonzero(1 + numerator / c)
        value *= c * d
        if abs(1 - c * d) < _TOLERANCE:
            break
    return 1 / value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
