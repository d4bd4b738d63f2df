"""What each script does with its config. A config is read here, and what it builds receives plain values alone."""
