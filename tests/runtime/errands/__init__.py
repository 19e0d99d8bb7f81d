"""A system whose jobs count, for the tests of jobs."""
