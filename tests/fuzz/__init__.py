"""Small files of every kind that is read, changed at random: our own errors or sound results come out.

`python -m tests.fuzz 100000` tries so many, with limits of time and memory; with `100000 60000` it goes on at
the 60,000th.
"""
