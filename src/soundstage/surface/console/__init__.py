"""The console: what a stage is doing, and a form for every operation. Nothing here knows a system by name."""
