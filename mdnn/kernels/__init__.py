"""Native code: a decoder of text networks in C, built on the user's machine; see docs/native.md."""
