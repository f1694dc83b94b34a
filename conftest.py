"""Makes `pytest claims` the suite's command line: options, fixtures, progress and the report live in the plugin.

Accepted verdicts, reports and runs lie below the folder of this file, however the claims are reached.
"""

pytest_plugins = ["bumplab.pytest_plugin.plugin"]
