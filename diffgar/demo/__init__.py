"""The embedded demo: a collection that is composed and rendered here, and an encoder pair trained on it."""
