"""What people look at: the review page of a video as one HTML file, previews, charts and stills.

Belongs here: images and pages made from tables and reports. Doesn't: the index over many videos, which is the
store's (`dualface_assets.review_index`).
"""
