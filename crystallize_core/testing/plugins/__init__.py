"""The conformance kit for plugins: what is checked (`checks`), on what (`subject`), and who asks for it.

The checks are plain functions, so that `crystallize plugins check NAME` runs them without pytest (`command`), and
`PluginConformance` makes a test of each (`conformance`).
"""
