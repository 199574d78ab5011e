"""The app: see, judge, predict and label in a browser. One process; the library's own functions behind each page."""
