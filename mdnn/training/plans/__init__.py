"""What each step of a training changes: a width of the network, or a part of its weights."""
