"""From files of recorded sessions into a store: our own raw exports, and what other programs have written.

What goes through it: a file (`opening`) -> its format, known by its content (`formats`) -> one `packet` for each
session in it -> the store (`intake`), which takes each session once. A format is one file beside this one. Those of
other programs are read into one `conversation`, of which `building` makes the rows that the gateway would have written.
"""
