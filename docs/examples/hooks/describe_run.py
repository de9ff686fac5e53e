from crystallize_core import BasePlugin, Experiment


class Weather(BasePlugin):
    """Adds something to the record of every run."""

    plugin_name = "weather"
    essential = False

    def describe_run(self):
        return {"sky": "clear", "degrees": 21}


result = Experiment(lambda ctx: 1, [lambda data: data], [Weather()]).run()
assert result.run.described["weather"] == {"sky": "clear", "degrees": 21}
