"""Loads the plugin behind `pytest claims`: options, the `experiment` fixture, progress and the report.

Accepted verdicts, reports and runs lie below this file's folder, whatever the working folder is.
"""

pytest_plugins = ["bumplab.pytest_plugin.plugin"]
