"""Files of pictures, films and sounds."""
