"""Values from `client.status` → what templates show, one noun a module."""
