"""Commands: `python -m experiments.NAME --help` says what each shows, how long it takes and which flags it has."""
