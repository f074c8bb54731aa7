"""Goldens: what the command line said and wrote before, compared with what it does now.

`pytest tests/goldens -k stylize` runs the cases of one command. The texsynth that runs is that of PYTHONPATH,
or the installed one: `PYTHONPATH=TREE pytest -n0 tests/goldens` judges another tree.

`python -m tests.goldens.make [NAME...]` makes expectations again, with the texsynth of PYTHONPATH, for
new cases and changes that are meant; the difference in `expected/` belongs in the same commit.
"""
