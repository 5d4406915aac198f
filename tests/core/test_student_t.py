"""Student's t distribution against SciPy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench.core.student_t import quantile, two_sided_p

DEGREES = st.floats(1, 1e4)


@given(t=st.floats(-40, 40), df=DEGREES)
def test_two_sided_p_equals_scipys(t: float, df: float) -> None:
    assert two_sided_p(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-8, abs=1e-300)


@given(df=DEGREES, probability=st.sampled_from([0.9, 0.95, 0.975, 0.995]))
def test_quantile_equals_scipys(df: float, probability: float) -> None:
    assert quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-9)


def test_infinite_and_missing_t() -> None:
    assert two_sided_p(math.inf, 3) == 0
    assert math.isnan(two_sided_p(math.nan, 3))
    assert two_sided_p(0, 3) == 1
