"""The index of all videos of a store: a page with a row for each, failed and deleted ones too.

Belongs here: records beside the review pages, and the table made from them. Doesn't: a video's own page
(`dualface_core.review`).
"""
