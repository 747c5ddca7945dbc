"""The sync log as an outsider sees it: a Merkle tree of salted digests in plain files, and its signed checkpoints.

`FORMAT.md` says all of it exactly; `verifier.py` checks it and shares no code with what writes it.
"""
