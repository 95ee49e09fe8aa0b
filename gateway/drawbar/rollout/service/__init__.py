"""Rollouts on request, for trainers: jobs that the gateway's own engine plays, each a run in the store.

`asked` reads what is wanted, `jobs` plays it once whatever happens, `steering` lets it wait while weights change,
`told` says what came of it. HTTP is `drawbar.proxy.rollouts`.
"""
