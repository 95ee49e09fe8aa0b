"""Cassettes: recorded tool calls that answer again in place of the real server.

`settings` is what a user writes, `format` the file, `tape` a file read and indexed, `playing` and its neighbours the
modes, `replay` the connection that stands in for a server, `recording` the one that writes down what a server says,
`deck` what the sessions of an environment share, and `drift` what a replay was like against what was recorded.
"""
