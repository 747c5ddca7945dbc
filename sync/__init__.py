"""The engine: everything between "publish" and "proved public"."""
