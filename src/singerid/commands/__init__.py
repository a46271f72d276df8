"""The commands: each function reads parsed arguments, calls the library, says what it did."""
