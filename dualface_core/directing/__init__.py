"""What is shown when: from who is where to a list of scenes, and the place of every tile on the canvas.

Belongs here: choosing between the layout's split, one person alone, a two-shot and the whole picture, and how one
becomes another. Doesn't: where a tile's camera looks (`camera`), or how it is drawn (`compositing`).
"""
