"""`drawbar.toml`: what can be set about `drawbar serve`, where each setting comes from, and what is made of it."""
