"""The database of a workspace: schema, the engine's writer, the reader of everybody."""
