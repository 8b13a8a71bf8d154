"""The chapter's four exercises, each answered by runs; the fourth is a search."""
