"""A state machine of two connections that read and write the library at random."""
