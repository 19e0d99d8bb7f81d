"""One file per question, each beside a rival in the same run: `python -m benchmarks.<name> [--quick]`."""
