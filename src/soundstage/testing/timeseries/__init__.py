"""The time series store beside a sorted list: what any engine must make it answer.

    class TestMine(TimeSeriesSuite):
        @pytest.fixture
        def open_engine(self) -> OpenEngine: ...

    model    what is to be answered: events in a dict, and the rules of what is taken and kept
    store    the store under test, on a virtual clock
    walk     drawn acts, whose answers are compared
    suite    walks of fixed and of fresh seeds, a state machine, and the edges of slices, buckets and limits

Needs the extra `soundstage[testing]`.
"""
