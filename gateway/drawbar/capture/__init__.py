"""Capture: recorded sessions become an environment.

`reading` makes candidates out of stored sessions; `alike`, `sampling`, `split`, `pseudonyms` and `review` are functions
over lists of them; `folder` writes those that are left.
"""
