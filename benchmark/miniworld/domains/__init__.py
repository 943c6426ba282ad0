"""The domains of the suite `mini`, one file a domain."""
