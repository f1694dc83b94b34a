"""Makes `pytest claims` the suite's command line: options, fixtures, progress and the report live in the plugin."""

pytest_plugins = ["bumplab.pytest_plugin.plugin"]
