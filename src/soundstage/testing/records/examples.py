"""How the properties of the suite draw their examples: the same ones in every run."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from soundstage.testing.records.bench import USUAL_EXAMPLES

EXAMPLES = settings(
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    max_examples=USUAL_EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    # One engine serves all examples, each on a record of its own, and one property serves many engines.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

KEYS = (b"", b"\0", b"\0\0", b"a", b"a\0", b"a\0\xff", b"a\1", b"b", b"\xfe", b"\xff", b"\xff" * 9)
"""Keys whose order is easily got wrong."""

keys: st.SearchStrategy[bytes] = st.sampled_from(KEYS)
bounds: st.SearchStrategy[bytes] = st.sampled_from([*KEYS, b"aa", b"c", b"\xff" * 4_097])
