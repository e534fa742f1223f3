"""What stands near a picture."""
