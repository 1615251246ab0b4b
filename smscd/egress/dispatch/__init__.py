"""What is sent next, and what became of it: queues, intents, results."""
