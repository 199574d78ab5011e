"""`python -m maskwright` is `maskwright`."""

from maskwright.cli import main

main()
