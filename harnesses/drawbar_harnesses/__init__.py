"""The harnesses that ship with drawbar: one file per agent."""
