"""Alerts: what live traffic must not come to, who is told when it does, and when it is over again."""
