"""Which numbers of a table are bold, and how sure each is."""
