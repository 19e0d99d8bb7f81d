"""The ways in from outside: HTTP, command line and console, all derived from the catalogue."""
