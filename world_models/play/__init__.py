"""A person, an agent or chance plays a game and dreams of it: one session, shown in many ways."""
