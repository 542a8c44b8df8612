"""``python -m mpos_agent`` is the command line."""

from mpos_agent.cli.main import main

if __name__ == "__main__":
    main()
