"""The command line. It reads what the pages read and sends the commands that the pages send."""
