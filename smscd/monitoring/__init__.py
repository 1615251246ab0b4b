"""What a process counts and how its state is judged: metrics, signs of life, health."""
