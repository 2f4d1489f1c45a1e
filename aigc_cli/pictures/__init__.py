"""Pictures: lay them out, write them, transform them; the pictures of sounds as well."""
