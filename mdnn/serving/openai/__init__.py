"""OpenAI's forms of requests and answers, beside TensorFlow Serving's."""
