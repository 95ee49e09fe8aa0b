"""Connecting agents that the user has: finding their descriptions, and editing their configuration files with care.

No agent is known here.
"""
