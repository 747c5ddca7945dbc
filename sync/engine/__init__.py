"""The use-cases, one verb a file: submit, plan, prepare, release, reconcile, verify."""
