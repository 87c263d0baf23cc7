"""`python -m nas_engine`."""

from nas_engine.cli.main import main

main()
