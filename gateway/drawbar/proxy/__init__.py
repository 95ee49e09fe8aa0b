"""The model side: route, resolve the session, forward bytes, stream, retry, account. It knows no dialect's fields."""
