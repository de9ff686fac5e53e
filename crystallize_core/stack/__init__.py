"""How plugins are found, configured, ordered and put together."""
