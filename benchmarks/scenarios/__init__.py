"""What is measured; each module answers for one aim."""
