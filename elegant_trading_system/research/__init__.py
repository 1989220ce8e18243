"""What the numbers say: reports and evidence."""
