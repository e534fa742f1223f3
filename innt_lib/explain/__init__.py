"""Why a network says what it says: class activation maps and their measures."""
