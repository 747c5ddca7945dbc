"""From a person's file to an edition: front matter, body, pictures, attachments.

Reads the item's file and the files beside it, and nothing else: no database, no network, no clock.
Only `source` and `folder` open files; what is in them is read in confined processes (`sync.confine`).
What cannot be published faithfully on every outlet is refused with its line and a mend; nothing a
reader would have seen is dropped in silence.
"""
