"""What a contender's process can be told to do, each in a file of its own."""
