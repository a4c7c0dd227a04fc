"""A network behind HTTP: TensorFlow Serving's REST forms and a page to type prompts into."""
