"""What is measured, each in processes of its own."""
