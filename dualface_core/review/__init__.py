"""The review page: what a person looks at to accept a result, as one HTML file per video, and an index of all."""
