"""`python -m geojepa_cli` is `geojepa`."""

from geojepa_cli.app import main

if __name__ == "__main__":
    main()
