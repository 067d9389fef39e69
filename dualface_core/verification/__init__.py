"""Whether a result is right: every frame of it is decoded again and compared with its plan and its source.

Belongs here: findings that may stop a publication. Doesn't: what a person should merely know, which is `advice`.
"""
