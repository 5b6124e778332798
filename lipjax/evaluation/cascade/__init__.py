"""A cascade: a suite of attacks one after another, what it has done so far on disk, and signs of what it can't see."""
