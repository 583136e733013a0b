"""Runs `geojepa` as `python -m geojepa_cli`."""

from geojepa_cli.app import main

if __name__ == "__main__":
    main()
