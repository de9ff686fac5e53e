from pathlib import Path

from crystallize_core import Asset, BasePlugin, Experiment


class Text(Asset):
    """An asset of our own."""


class Texts(BasePlugin):
    """Stores texts, and leaves every other asset to others."""

    def store_asset(self, asset, ctx):
        if not isinstance(asset, Text):
            return None
        path = Path(f"{asset.name}-{ctx['replicate']}.txt")
        path.write_text(asset.data, encoding="utf-8")
        return str(path)


experiment = Experiment(lambda ctx: "hello", [lambda data: Text(data, name="greeting")], [Texts()], autoload=False)
experiment.run()
assert Path("greeting-0.txt").read_text(encoding="utf-8") == "hello"
