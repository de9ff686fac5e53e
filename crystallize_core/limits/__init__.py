"""For executors: who ends the process of a step that is far over its limit, and how the run learns of it.

A policy announces each limited attempt (`crystallize_core.watchdog`). In a worker process, a `LimitReporter` writes that on a
`Board`, memory that another process reads: the coordinator itself where workers are processes of its machine, and a `Guard`
where they are elsewhere.
"""
