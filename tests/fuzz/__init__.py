"""Small files of every kind that is read, changed at random: our own errors or sound results come out.

`python -m tests.fuzz 100000` tries so many, with limits of time and memory; `python -m tests.fuzz 100000 60000`
goes on with the 60,000th.
"""
