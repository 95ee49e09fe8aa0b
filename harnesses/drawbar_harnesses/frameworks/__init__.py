"""Programs that run an agent of a Python framework: one file each, started by the framework's own interpreter.

They are no part of drawbar's process and import nothing of it: only `desk`, which needs the standard library alone.
"""
