"""From recorded sessions to files that trainers load: one file per format, and what they all stand on.

What goes through it: the store's sessions (`record.facts`) -> the healthy ones (`healthy`) -> samples (`sampling`:
one conversation each, with a mask) -> a format's rows (`format`) -> a file (`writing`) with a manifest beside it
(`manifest`). `engine` does all of it, a page of sessions at a time.
"""
