"""A network behind an address: `striate serve`."""
