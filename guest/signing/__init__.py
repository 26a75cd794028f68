"""Signed modules: keys, the manifest that says what a module is, and its signatures."""
