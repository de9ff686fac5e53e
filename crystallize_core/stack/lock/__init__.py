"""The lock of a project's stack: what `crystallize.lock` says, what is here, and how the two differ."""
