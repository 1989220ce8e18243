"""One module per vendor format, all of them writing the one event layout."""
