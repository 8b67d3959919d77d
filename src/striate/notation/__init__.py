"""Text to Script and back; the only place that knows the syntax."""

from striate.notation.read import read_script, read_volume
from striate.notation.write import write_script

__all__ = ["read_script", "read_volume", "write_script"]
