"""The conformance kit for executors: what they run (`steps`, `values`, `plugins`) and what is checked (`checks`).

Steps, values and plugins are in modules that import nothing but the core, so that any worker can have them by name.
"""
