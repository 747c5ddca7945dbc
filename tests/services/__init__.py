"""Servers that tests start for themselves, each private: its own folder, its own socket or port."""
