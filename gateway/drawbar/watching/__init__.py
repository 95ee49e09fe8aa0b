"""What happens in a store while it happens: sessions as they open, work, end and are scored.

It reads and never writes. `Watcher` finds what has changed since it last looked, `sources` bring its changes from a
store or from a gateway elsewhere, and `Board` keeps what a view shows of them. It knows no terminal.
"""
