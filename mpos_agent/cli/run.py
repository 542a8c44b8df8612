"""``mpos-agent run``: the daemon, until it is told to stop."""

from config.load import load_settings
from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption


def run(config: ConfigOption = DEFAULT_SETTINGS) -> int:
    """Run the agent: owns devices and database, serves the local API, carries claims to head office."""
    settings = load_settings(config)
    # The daemon's libraries (arrays, network runtime, web server) take a second to load; no other command needs them.
    from mpos_agent.daemon import serve  # noqa: PLC0415

    return serve(settings)
