"""The tests of the suite, by the part of the semantics they hold an engine to."""
